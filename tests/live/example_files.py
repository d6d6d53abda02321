"""The files of `examples/`, each served as it is, with what it moves: only addresses and paths are put where they are here.

A server of files, a directory and PostgreSQL to read through to; PostgreSQL and an HTTP server to pass changes on to; another
Standpipe to follow. (cachepump.yml is served by the tests of processes, Smart Core has a server of its own in those of the
interface: here it is away.)
"""

import base64
import http.server
import json
import re
import threading

from . import server
from .checks import Checks, wait_until
from .databases import PASSWORD, PostgreSQL
from .server import ROOT, Server


def configured(path, places):
    """The file with places of this machine in it, written where it can be named. Each one has to stand in the original."""
    text = path.read_text("utf-8")
    for there, here in places.items():
        if there not in text:
            raise ValueError(f"{there} is not in {path.name}")
        text = text.replace(there, str(here))
    folder = server.CACHE / "example-files"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{path.parent.name}-{path.name}"
    file.write_text(text, "utf-8")
    return file


def example(name, places):
    """Serves one of them from a fresh directory."""
    file = configured(ROOT / "examples" / f"{name}.yml", places)
    return Server(server.fresh(f"example-{name}"), arguments=["-c", file])


def secret(name, text):
    """A file that holds a secret and a line end, as editors leave it."""
    file = server.CACHE / "example-files" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", "utf-8")
    return file


def json_of(client, path):
    return json.loads(client.request("GET", path).body)


class Web:
    """An HTTP server of a test's own: `paths` are answered with JSON, what is posted is kept with its headers."""

    def __init__(self, paths):
        web = self
        self.posted = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                value = paths.get(self.path)
                self.answer(404 if value is None else 200, json.dumps(value).encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.posted.append((self.headers, json.loads(body)))
                self.answer(200, b"")

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def read_through(checks):
    pages = server.CACHE / "example-pages"
    (pages / "docs").mkdir(parents=True, exist_ok=True)
    (pages / "docs" / "a.html").write_text("<p>a</p>", "utf-8")
    with PostgreSQL() as database, Web({"/users/42": {"name": "Ada"}}) as web:
        database.execute("CREATE TABLE users (id text PRIMARY KEY, name text); INSERT INTO users VALUES ('42', 'Ada')")
        url_file = secret("database", database.url)
        places = {"http://127.0.0.1:9000": web.url, "./pages": pages, "/run/secrets/db": url_file}
        target = example("read-through", places)
        client = target.client()
        for path, body in {
            "/keyspaces/users/keys/42": b'{"name": "Ada"}',
            "/keyspaces/pages/keys/docs/a": b"<p>a</p>",
            "/keyspaces/names/keys/42": b"Ada",
        }.items():
            fetched, stored = client.request("GET", path), client.request("GET", path)
            checks.equal((fetched.status, fetched.body), (200, body), f"fetched {path}")
            checks.equal((stored.body, stored.header("Cache-Status")), (body, "standpipe; hit"), f"stored {path}")
        for keyspace in ("users", "pages", "names"):
            checks.equal(client.request("GET", f"/keyspaces/{keyspace}/keys/absent").status, 404, f"absent in {keyspace}")
        checks.ends_well(target)


def sink(checks):
    text = (ROOT / "examples" / "sink.yml").read_text("utf-8")
    with PostgreSQL() as database, Web({}) as web:
        # The table is the one that the file's head tells a reader to make.
        database.execute(re.search(r"^# +(CREATE TABLE .*;)$", text, re.MULTILINE).group(1))
        url_file, password_file = secret("database", database.url), secret("hooks", PASSWORD)
        places = {"/run/secrets/db": url_file, "https://hooks.example": web.url, "/run/secrets/hooks": password_file}
        target = example("sink", places)
        client = target.client()
        for _ in range(3):
            client.request("POST", "/keyspaces/views/counters/home")
        rows = lambda: database.rows("SELECT page, views FROM page_views")
        wait_until(lambda: rows() == [("home", "3")], 30, "three views in the table")
        checks.check(True, "three views are three in the table")
        client.request("PUT", "/keyspaces/profiles/keys/ada", b"x", {"Content-Type": "text/plain"})
        wait_until(lambda: web.posted, 30, "the profile is passed on")
        client.request("DELETE", "/keyspaces/profiles/keys/ada")
        wait_until(lambda: len(web.posted) > 1, 30, "and its deletion")
        (headers, put), (_, deleted) = web.posted[:2]
        known = base64.b64encode(f"standpipe:{PASSWORD}".encode()).decode()
        checks.check(headers["Authorization"] == f"Basic {known}", "it says who it is, with the password of the file")
        checks.equal([(item["key"], item.get("value")) for item in put["items"]], [("ada", "x")], "what was put")
        checks.equal([(item["key"], item.get("deleted")) for item in deleted["items"]], [("ada", True)], "what was deleted")
        checks.check(PASSWORD not in target.whole_log(), "no password in the log")
        checks.ends_well(target)


def mirror(checks):
    said = server.run("token").stdout.decode()
    token, lines = said.split("\n", 1)
    file = secret("upstream.yml", lines + "keyspaces: { flags: {} }")
    upstream = Server(server.fresh("example-upstream"), arguments=["-c", file])
    bearer = {"Authorization": f"Bearer {token}"}
    writer = upstream.client()
    path = "/keyspaces/flags/keys/site-7/lights"
    checks.equal(writer.request("PUT", path, b"on", bearer).status, 201, "a flag at the upstream")
    writer.request("PUT", "/keyspaces/flags/keys/site-8/lights", b"off", bearer)
    places = {"https://central.example:8080": f"http://127.0.0.1:{upstream.port}", "/run/secrets/standpipe-token": secret("token", token)}
    target = example("mirror", places)
    client = target.client()
    wait_until(lambda: client.request("GET", path).body == b"on", 30, "the flag is here")
    listed = [item["key"] for item in json_of(client, "/keyspaces/flags/keys")["items"]]
    checks.equal(listed, ["site-7/lights"], "that part of the keyspace alone")
    checks.equal(client.request("PUT", path, b"off").status, 405, "a client's change")
    writer.request("DELETE", path, headers=bearer)

    def mirrors():
        return {item["keyspace"]: item for item in json_of(client, "/mirrors")["items"]}

    deleted = lambda: [key["key"] for key in mirrors()["flags"]["keys"] if key.get("deleted_upstream")]
    wait_until(lambda: deleted() == ["site-7/lights"], 30, "/mirrors tells of the deletion")
    checks.equal(client.request("GET", path).body, b"on", "what was deleted there and is kept here")
    checks.equal(mirrors()["plant"]["state"], "waiting", "a Smart Core server that is away")
    checks.check(token not in target.whole_log(), "no token in the log")
    checks.ends_well(target)
    checks.ends_well(upstream)


def main():
    checks = Checks()
    for part in (read_through, sink, mirror):
        part(checks)
    checks.finish()


if __name__ == "__main__":
    main()
