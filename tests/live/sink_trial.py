"""A server with sinks, writers that add to its counters, and the audit: rows, counters and what the writers know agree."""

import json
import random
import shutil
import threading
import time
import urllib.parse

from . import server
from .checks import wait_until
from .databases import PASSWORD
from .server import Server

# A type of key that tells every key apart, for each database.
KEY = {
    "postgres": "text",
    "mariadb": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
    "sqlite": "TEXT",
}
SETTINGS = {"logging.level": "DEBUG", "log.segment_bytes": "4MiB"}


def table(database, name, value="bigint"):
    database.execute(f"CREATE TABLE {name} (k {KEY[database.kind]} NOT NULL PRIMARY KEY, v {value})")


def sink(url, name, mode="increment", every="100ms", **more):
    """A keyspace with a sink, as the file has it."""
    target = {"url": url, "table": name, "key_column": "k", "value_column": "v"}
    patience = {"timeout": "3s", "backoff_min": "50ms", "backoff_max": "500ms"}
    return {"sink": {"sql": target, "mode": mode, "every": every, **patience, **more}}


class Trial:
    """A server with a configuration file, which outlives it."""

    def __init__(self, name, keyspaces, settings=None, **more):
        self.data = server.fresh(name)
        self.config = server.CACHE / f"{name}.yml"
        self.settings = {**SETTINGS, **(settings or {})}
        self.write(keyspaces, **more)
        self.target = None

    def write(self, keyspaces, **more):
        # YAML reads JSON.
        self.config.write_text(json.dumps({"keyspaces": keyspaces, **more}))

    def start(self, data=None):
        self.target = Server(data or self.data, self.settings, arguments=["-c", str(self.config)])
        return self.target

    def is_up(self):
        try:
            return self.ask("GET", "/readyz").status == 200
        except (OSError, RuntimeError):
            return False

    def ask(self, method, path, body=None):
        client = self.target.client(timeout=60)
        answer = client.request(method, path, None if body is None else json.dumps(body).encode())
        client.close()
        return answer

    def sync(self, keyspace):
        return self.ask("POST", f"/sinks/{keyspace}/sync")

    def settle(self, keyspace, seconds=60):
        """Waits until everything was passed on."""
        try:
            wait_until(lambda: self.sync(keyspace).status == 200, seconds, f"{keyspace} is passed on")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.shown(keyspace)}") from None

    def shown(self, keyspace):
        items = json.loads(self.ask("GET", "/sinks").body)["items"]
        return next(item for item in items if item["keyspace"] == keyspace)

    def add(self, keyspace, key, by=1):
        path = f"/keyspaces/{keyspace}/counters/{urllib.parse.quote(key, safe='')}"
        return self.ask("POST", path, {"by": by})

    def end(self, checks):
        """Stops it; nothing secret was ever written to its log."""
        checks.ends_well(self.target)
        self.check_log(checks)
        shutil.rmtree(self.data, ignore_errors=True)
        self.config.unlink(missing_ok=True)

    def check_log(self, checks):
        log = self.target.whole_log()
        checks.check(PASSWORD not in log, f"no password in a log of {len(log)} bytes at DEBUG")


def rows_of(database, name):
    return {key: value for key, value in database.rows(f"SELECT k, v FROM {name}")}


class Writer(threading.Thread):
    """Adds to counters of its own in each keyspace, `batch` at once, and remembers what was answered."""

    def __init__(self, number, trial, keyspaces, count, keys, batch):
        super().__init__(daemon=True)
        self.trial, self.keyspaces, self.left, self.batch = trial, keyspaces, count, batch
        self.keys = [f"w{number}/{key}" for key in range(keys)]
        self.random = random.Random(number)
        self.known = {(keyspace, key): 0 for keyspace in keyspaces for key in self.keys}
        self.unknown = {place: [0, 0] for place in self.known}
        self.times = []
        self.errors = []

    def run(self):
        client = None
        while self.left > 0:
            keyspace = self.random.choice(self.keyspaces)
            adds = [(self.random.choice(self.keys), self.random.randrange(-3, 10)) for _ in range(min(self.batch, self.left))]
            operations = [{"op": "increment", "key": key, "by": by} for key, by in adds]
            body = json.dumps({"operations": operations}).encode()
            began = time.monotonic()
            try:
                client = client or self.trial.target.client()
                answer = client.request("POST", f"/keyspaces/{keyspace}/batch", body)
            except OSError:
                # Killed: nobody knows what has become of these.
                for key, by in adds:
                    self.unknown[keyspace, key][0 if by < 0 else 1] += by
                client = None
                self.left -= len(adds)
                wait_until(self.trial.is_up, 120, "the service is back")
                continue
            self.times.append(time.monotonic() - began)
            self.left -= len(adds)
            if answer.status in (502, 503, 507):
                continue
            if answer.status != 200:
                self.errors.append(f"{answer.status} {answer.body[:200]!r}")
                return
            for (key, by), item in zip(adds, json.loads(answer.body)["items"]):
                if item["status"] == 200:
                    self.known[keyspace, key] += by
                elif item["status"] not in (503, 507):
                    self.errors.append(str(item))

    def agrees(self, keyspace, key, total):
        low, high = self.unknown[keyspace, key]
        known = self.known[keyspace, key]
        return known + low <= total <= known + high


def counters(trial, keyspace, writers):
    """Every counter of the writers as the service tells it now."""
    found = {}
    client = trial.target.client()
    keys = [key for writer in writers for key in writer.keys]
    for start in range(0, len(keys), 500):
        some = keys[start:start + 500]
        body = json.dumps({"operations": [{"op": "get", "key": key} for key in some]}).encode()
        items = json.loads(client.request("POST", f"/keyspaces/{keyspace}/batch", body).body)["items"]
        found |= {item["key"]: int(item["value"]) for item in items if item["status"] == 200}
    client.close()
    return found


def audit(checks, trial, keyspace, database, name, writers, what):
    """Rows, counters and what the writers know agree."""
    trial.settle(keyspace)
    here, there = counters(trial, keyspace, writers), rows_of(database, name)
    # A counter that was only ever added 0 has no row.
    wrong = [key for key in sorted(set(here) | set(there)) if here.get(key, 0) != int(there.get(key, 0))]
    sums = f"{sum(here.values())} in {len(here)} counters"
    checks.check(not wrong, f"{what}: {keyspace} has exactly {sums}" + "".join(
        f"; {key} is {there.get(key)}, not {here.get(key)}" for key in wrong[:3]))
    unfounded = [(w, key) for w in writers for key in w.keys if not w.agrees(keyspace, key, here.get(key, 0))]
    checks.check(not unfounded, f"{what}: {keyspace} counts what was answered" + "".join(f"; {key}" for _, key in unfounded[:3]))
