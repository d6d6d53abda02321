"""Sinks in the view of data flows of /ui/: one to SQLite, one to an HTTP server that is away and then refuses a key, one to a
table that is not there, and one whose database has seen what a restored store has not. What is shown is held against the
targets."""

import http.server
import json
import shutil
import sqlite3
import threading

from . import server
from .browser import PICTURES, Watched
from .checks import wait_until
from .server import Server
from .ui_flows import look_closer, step

JSON = {"Content-Type": "application/json"}
# Long beside an attempt, so that a sink that fails is seen between two of them.
BACKOFF = {"backoff_min": "2s", "backoff_max": "3s"}


class HttpTarget:
    """Takes changes, and answers 503 while it is `away`, and 400 while what it is sent has the key `refused`."""

    def __init__(self):
        self.away, self.refused, self.values = True, None, {}
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["items"]
                self.send_response(target.take({item["key"]: item.get("value") for item in items}))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/changes"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, values):
        if self.away:
            return 503
        if self.refused in values:
            return 400
        self.values.update(values)
        return 204

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Database:
    """A file of SQLite with a table of counts."""

    def __init__(self, name):
        self.path = server.CACHE / name
        for file in server.CACHE.glob(f"{name}*"):
            file.unlink()
        self.run("CREATE TABLE page_views (page TEXT PRIMARY KEY, views INTEGER NOT NULL)")

    def run(self, statement):
        connection = sqlite3.connect(self.path, timeout=20)
        try:
            with connection:
                return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def views(self):
        return dict(self.run("SELECT page, views FROM page_views"))

    def sink(self, table="page_views"):
        to = {"url": f"sqlite://{self.path}", "table": table, "key_column": "page", "value_column": "views"}
        return {"sink": {"sql": to, "mode": "increment", "every": "1h", **BACKOFF}}


def configuration(database, target):
    file = server.CACHE / "ui-sinks.yml"
    to_http = {"http": {"endpoint": target.url}, "mode": "upsert", "deletes": "propagate", "every": "1h", **BACKOFF}
    file.write_text(json.dumps({"keyspaces": {
        "homeless": database.sink(table="no_such_table"),
        "profiles": {"sink": to_http},
        "views": database.sink(),
    }}), "utf-8")
    return file


def add(client, key, by, keyspace="views"):
    answer = client.request("POST", f"/keyspaces/{keyspace}/counters/{key}", json.dumps({"by": by}), JSON)
    assert answer.status == 200, answer.body


def to_sqlite(flows, database):
    checks = flows.checks
    flows.goto()
    flows.wait_badges("views", "idle")
    card = flows.card("views")
    checks.check("page_views" in card.inner_text() and database.path.name in card.inner_text() and "sums of counters" in card.inner_text(), "a sink says what goes where")
    checks.equal((flows.fact("views", "Waiting"), flows.fact("views", "Lag")), ("nothing", None), "nothing waits yet")
    add(flows.client, "index.html", 1_200)
    add(flows.client, "about.html", -3)
    wait_until(lambda: flows.fact("views", "Waiting") == "2 keys", 20, "what waits is counted")
    first = flows.fact("views", "Lag")
    wait_until(lambda: flows.fact("views", "Lag") != first, 20, "the lag ticks")
    card.get_by_text("What waits").click()
    card.locator(".flow-keys li", has_text="index.html").wait_for()
    checks.equal([row.split("\n") for row in card.locator(".flow-keys li").all_inner_texts()], [["about.html", "−3"], ["index.html", "+1,200"]], "what waits, key by key")
    add(flows.client, "index.html", 34)
    card.locator(".flow-keys li", has_text="+1,234").wait_for()
    checks.check(True, "and as it changes")
    flows.picture("waiting")
    flows.press("views", "Sync now")
    flows.toast("views: 2 keys passed on")
    checks.equal(database.views(), {"about.html": -3, "index.html": 1234}, "the database has it")
    checks.equal((flows.fact("views", "Waiting"), flows.fact("views", "Passed on")), ("nothing", "2 keys"), "after that")
    flows.press("views", "Sync now")
    flows.toast("views: nothing waited")
    card.get_by_text("Browse").click()
    flows.page.locator(".keys a .name", has_text="index.html").wait_for()
    checks.equal(flows.page.get_by_label("Keyspace").input_value(), "views", "Browse leads into the keyspace")


def to_http(flows, target):
    checks, client = flows.checks, flows.client
    flows.goto()
    client.request("PUT", "/keyspaces/profiles/keys/alice", b"a", {"Content-Type": "text/plain"})
    flows.press("profiles", "Sync now")
    flows.page.locator(".toast.wrong", has_text="503").wait_for()
    flows.wait_badges("profiles", "retrying")
    text = flows.card("profiles").inner_text()
    checks.check("503" in text and "The last attempt failed" in text and "and deletions" in text, "a target that is away is told in words")
    checks.check("failing" in flows.page.locator(".summary").inner_text(), "and in the summary")
    flows.picture("retrying")
    target.away = False
    flows.wait_badges("profiles", "idle")
    flows.card("profiles").get_by_text("Failed last").wait_for()
    checks.equal(target.values, {"alice": "a"}, "what waited came by itself when it was back")
    # A key that is refused for good is set aside, seen, and tried again.
    target.refused = "bob"
    for key in ("bob", "carol"):
        client.request("PUT", f"/keyspaces/profiles/keys/{key}", key.encode(), {"Content-Type": "text/plain"})
    flows.press("profiles", "Sync now")
    flows.toast("profiles: 1 key passed on, 1 refused")
    flows.wait_badges("profiles", "idle", "1 refused")
    flows.card("profiles").get_by_text("Refused keys", exact=True).click()
    row = flows.card("profiles").locator(".flow-keys li", has_text="bob")
    row.wait_for()
    checks.check("400" in row.inner_text() and "Refused" in row.inner_text(), "a refused key stands there with what was said of it, and when")
    checks.check("1 key refused" in flows.page.locator(".summary").inner_text(), "and in the summary")
    flows.picture("refused")
    target.refused = None
    flows.card("profiles").get_by_role("button", name="Try bob again").click()
    flows.toast("1 key of profiles waits again")
    flows.press("profiles", "Sync now")
    wait_until(lambda: target.values.get("bob") == "bob", 20, "the target has the key that it had refused")
    flows.wait_badges("profiles", "idle")
    flows.card("profiles").get_by_text("Nothing any more.").wait_for()
    checks.equal(target.values, {"alice": "a", "bob": "bob", "carol": "carol"}, "tried again, it was taken")


def unsuitable(flows):
    flows.goto()
    flows.wait_badges("homeless", "unsuitable")
    text = flows.card("homeless").inner_text()
    flows.checks.check("has to be changed" in text and "no_such_table" in text, "a table that is not there is told")


def looks(flows):
    for width, height in ((1280, 800), (360, 740)):
        flows.page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            flows.page.emulate_media(color_scheme=theme)
            flows.goto()
            flows.wait_badges("homeless", "unsuitable")
            look_closer(flows.checks, flows.page, f"sinks, {theme}, {width}", width)
            flows.picture(f"sinks-{width}-{theme}")


def ahead(flows, database, is_shown):
    """The store was restored from a backup: a person decides."""
    checks, page = flows.checks, flows.page
    flows.goto()
    flows.wait_badges("views", "stopped: ahead")
    checks.check("a person has to decide" in flows.card("views").inner_text(), "a sink that is ahead says that a person has to decide")
    flows.press("views", "Decide…")
    box = page.locator("dialog[open]")
    box.wait_for()
    checks.equal(page.evaluate("document.activeElement.textContent"), "Cancel", "the first Enter decides nothing: the focus is on")
    box.get_by_label("This generation").select_option("resend")
    checks.check("counting twice" in box.inner_text(), "what each choice means is said")
    box.get_by_label("This generation").select_option("skip")
    page.screenshot(path=PICTURES / "ui-flows-ahead.png")
    before = database.views()
    box.get_by_role("button", name="Go on").click()
    flows.toast("1 skipped")
    flows.wait_badges("views", "idle")
    checks.equal(database.views(), before, "what the database had is not counted again")
    checks.equal(flows.card("views").get_by_role("button", name="Decide…").count(), 0, "and there is nothing left to decide")
    checks.check(is_shown(), "the sink goes on")


def restored(checks, browser, database):
    """A store that is restored from before something was passed on."""
    file = server.CACHE / "ui-sinks-ahead.yml"
    data, backup = server.fresh("ui-sinks-ahead"), server.fresh("ui-sinks-backup")
    arguments = ("-c", file)
    file.write_text(json.dumps({"keyspaces": {"views": database.sink()}}), "utf-8")
    database.run("ALTER TABLE page_views RENAME TO away")
    with Server(data, {"server.drain_timeout": "1s"}, arguments=arguments) as target:
        add(target.client(), "restored", 5)
        target.stop()
    shutil.copytree(data, backup)
    database.run("ALTER TABLE away RENAME TO page_views")
    with Server(data, arguments=arguments) as target:
        checks.equal(target.client().request("POST", "/sinks/views/sync").status, 200, "the store passes on what waited, and is restored from before that")
        target.stop()
    with Server(backup, arguments=arguments) as target:
        watched = Watched(browser, f"http://127.0.0.1:{target.port}")
        step(checks, watched, target, "ahead", ahead, database, lambda: target.client().request("POST", "/sinks/views/sync").status == 200)
        watched.check(checks, "/ui/ with a sink that is ahead")
        checks.ends_well(target)
    file.unlink()
    for folder in (data, backup):
        shutil.rmtree(folder, ignore_errors=True)


def with_sinks(checks, browser):
    target, database = HttpTarget(), Database("ui-sinks.sqlite")
    file = configuration(database, target)
    data = server.fresh("ui-sinks")
    try:
        with Server(data, {"server.drain_timeout": "1s"}, arguments=("-c", file)) as running:
            watched = Watched(browser, f"http://127.0.0.1:{running.port}")
            step(checks, watched, running, "to-sqlite", to_sqlite, database)
            step(checks, watched, running, "to-http", to_http, target)
            step(checks, watched, running, "unsuitable", unsuitable)
            step(checks, watched, running, "sinks-looks", looks)
            watched.check(checks, "/ui/ with sinks")
            checks.ends_well(running)
        restored(checks, browser, database)
    finally:
        target.close()
        file.unlink()
        for left in server.CACHE.glob("ui-sinks.sqlite*"):
            left.unlink()
        shutil.rmtree(data, ignore_errors=True)
