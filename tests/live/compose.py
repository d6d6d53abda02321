"""The profile `movement` of compose.yaml without containers: what its services are told, run by this machine's own programs.

The table is made by the file that the database's image would run, the origin is the command of its service, and the service's
configuration is the file that it mounts, with the names of the services replaced by where they listen here. What the file's
first lines promise is then done with it. `just container` runs the same profile in containers.
"""

import json
import os
import signal
import subprocess

import yaml

from . import server
from .checks import Checks, wait_until
from .databases import PostgreSQL, free_port
from .example_files import configured
from .server import ROOT, Server

PROFILE = "movement"


def services(checks):
    """Those of the profile, after a look at what each of them needs from this folder."""
    text = (ROOT / "compose.yaml").read_text("utf-8")
    everything = yaml.safe_load(text)
    found = {name: it for name, it in everything["services"].items() if PROFILE in it.get("profiles", [])}
    checks.equal(sorted(found), ["database", "movement", "origin"], "services of the profile")
    plain = [name for name, it in everything["services"].items() if "profiles" not in it]
    checks.equal(plain, ["standpipe"], "services without a profile")
    for name, service in found.items():
        for source, *_ in mounts(service):
            known = (ROOT / source).exists() if source.startswith("./") else source in everything["volumes"]
            checks.check(known, f"{name}: {source} is there")
    return found


def mounts(service):
    return [volume.split(":") for volume in service.get("volumes", [])]


def mounted(service, target):
    """The file or folder here that stands at a path there."""
    [source] = [source for source, place, *_ in mounts(service) if place == target]
    return ROOT / source


class Origin:
    """The server of files that the service `origin` is, on a port of its own and of this machine alone."""

    def __init__(self, service):
        self.port = free_port()
        places = {"9000": f"127.0.0.1:{self.port}", "/www": str(mounted(service, "/www"))}
        self.command = [places.get(word, word) for word in service["command"]]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def promises(checks, target, origin, database):
    """What the head of the configuration tells a reader to try."""
    client = target.client()
    user = "/keyspaces/users/keys/42"

    def number(answer):
        return int(answer.body) if answer.status == 200 else None

    first = wait_until(lambda: (got := client.request("GET", user)).status == 200 and got, 30, "the user is fetched")
    checks.equal(json.loads(first.body)["name"], "Ada Lovelace", "the user of the origin")
    checks.equal(first.header("Content-Type"), "application/json", "the media type that the origin gave")
    checks.equal(client.request("GET", "/keyspaces/users/keys/43").status, 404, "a user that the origin does not have")
    news = wait_until(lambda: (got := client.request("GET", "/v1/news")).status == 200 and got, 30, "the news are fetched")
    checks.check("headline" in json.loads(news.body), "the news, before anybody asked for them")
    origin.stop()
    again = client.request("GET", user)
    checks.equal((again.status, again.body), (200, first.body), "the user while the origin is away")
    checks.check(again.header("Age") is not None, f"its age: {again.header('Age')} s, {again.header('Cache-Status')}")

    for _ in range(5):
        client.request("POST", "/keyspaces/views/counters/home")
    row = lambda: database.rows("SELECT views FROM page_views WHERE page = 'home'")
    wait_until(lambda: [int(views) for (views,) in row()] == [5], 30, "five views in the table")
    checks.check(True, "five views are five in the table")
    read = wait_until(lambda: number(client.request("GET", "/keyspaces/totals/keys/home")) == 5, 30, "five, read through")
    checks.check(read, "and five are read through from it")


def main():
    checks = Checks()
    found = services(checks)
    origin = Origin(found["origin"])
    with PostgreSQL() as database:
        database.execute(mounted(found["database"], "/docker-entrypoint-initdb.d/tables.sql").read_text("utf-8"))
        places = {"http://origin:9000": f"http://127.0.0.1:{origin.port}", "postgres://standpipe@database/shop": database.url}
        file = configured(mounted(found["movement"], "/etc/standpipe/config.yml"), places)
        origin.start()
        try:
            target = Server(server.fresh("compose"), arguments=["-c", file])
            try:
                promises(checks, target, origin, database)
            finally:
                checks.ends_well(target)
        finally:
            if origin.process.poll() is None:
                os.kill(origin.process.pid, signal.SIGKILL)
                origin.process.wait(10)
    checks.finish()


if __name__ == "__main__":
    main()
