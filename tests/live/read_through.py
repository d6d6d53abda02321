"""Reading through to what is really there: three databases, an HTTPS server of an authority of our own, and a server that is
killed under load.

Every value that a database holds is answered as its own text; a database that dies and comes again, and a password that is
replaced, need no restart; no password is in the log. While the server behind a keyspace is gone, every read of what was once
fetched is answered, readers of other keyspaces notice nothing, and when it is back so are its values.
"""

import argparse
import contextlib
import http.client
import http.server
import json
import pathlib
import shutil
import signal
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from . import databases, server
from .checks import Checks, say, wait_until

# What is asked of each database: the type and the literal of a column, and the text that it is answered as.
POSTGRES = {
    "a_text": ("text", "'gr\u00fcn ''x'''", "gr\u00fcn 'x'"),
    "a_char": ("char(3)", "'ab'", "ab "),
    "a_bytea": ("bytea", r"'\xff00'", b"\xff\x00"),
    "a_bool": ("bool", "true", "true"),
    "a_smallint": ("smallint", "-7", "-7"),
    "an_int": ("int", "2147483647", "2147483647"),
    "a_bigint": ("bigint", "-9223372036854775808", "-9223372036854775808"),
    "a_numeric": ("numeric", "12345678901234567890.0001200", "12345678901234567890.0001200"),
    "a_small_numeric": ("numeric", "-0.00005", "-0.00005"),
    "a_real": ("real", "0.1", "0.1"),
    "a_double": ("double precision", "1.5e300", "1.5e+300"),
    "a_json": ("json", """'{"a":  [1]}'""", '{"a":  [1]}'),
    "a_jsonb": ("jsonb", """'{"a":  [1]}'""", '{"a": [1]}'),
    "a_uuid": ("uuid", "'00112233-4455-6677-8899-aabbccddeeff'", "00112233-4455-6677-8899-aabbccddeeff"),
    "a_date": ("date", "'2024-02-29'", "2024-02-29"),
    "a_time": ("time", "'12:30:00.5'", "12:30:00.5"),
    "a_timestamp": ("timestamp", "'2024-02-29 12:30:00.123456'", "2024-02-29 12:30:00.123456"),
    "a_moment": ("timestamptz", "'2024-02-29 12:30:00+02'", "2024-02-29 10:30:00+00"),
    "for_ever": ("timestamptz", "'infinity'", "infinity"),
    "a_mood": ("mood", "'glad'", "glad"),
    "no_text": ("text", "NULL", None),
}
MARIADB = {
    "a_text": ("text", "'gr\u00fcn ''x'''", "gr\u00fcn 'x'"),
    "a_varchar": ("varchar(10)", "'ab'", "ab"),
    "a_blob": ("blob", "x'ff00'", b"\xff\x00"),
    "a_bool": ("bool", "true", "1"),
    "a_tinyint": ("tinyint", "-7", "-7"),
    "an_int": ("int", "2147483647", "2147483647"),
    "a_bigint": ("bigint", "-9223372036854775808", "-9223372036854775808"),
    "an_unsigned": ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
    "a_decimal": ("decimal(30,7)", "12345678901234567890.00012", "12345678901234567890.0001200"),
    "a_float": ("float", "0.1", "0.1"),
    "a_double": ("double", "1.5e300", "1.5e+300"),
    "a_json": ("json", """'{"a":  [1]}'""", '{"a":  [1]}'),
    "a_uuid": ("uuid", "'00112233-4455-6677-8899-aabbccddeeff'", "00112233-4455-6677-8899-aabbccddeeff"),
    "a_date": ("date", "'2024-02-29'", "2024-02-29"),
    "a_time": ("time(1)", "'-100:30:00.5'", "-100:30:00.5"),
    "a_datetime": ("datetime(6)", "'2024-02-29 12:30:00.123456'", "2024-02-29 12:30:00.123456"),
    "a_year": ("year", "2024", "2024"),
    "a_bit": ("bit(10)", "b'1000000001'", "513"),
    "a_mood": ("enum('glad','sad')", "'glad'", "glad"),
    "no_text": ("text", "NULL", None),
}
SQLITE = {
    "a_text": ("text", "'gr\u00fcn ''x'''", "gr\u00fcn 'x'"),
    "a_blob": ("blob", "x'ff00'", b"\xff\x00"),
    "an_int": ("integer", "-9223372036854775808", "-9223372036854775808"),
    "a_real": ("real", "1.5e300", "1.5e+300"),
    "a_bool": ("boolean", "true", "1"),
    "no_text": ("text", "NULL", None),
}
COLUMNS = {"postgres": POSTGRES, "mariadb": MARIADB, "sqlite": SQLITE}
MARK = {"postgres": "$1", "mariadb": "?", "sqlite": "?"}
NEW_PASSWORD = "hunter3-of-the-database"


def path(keyspace, key):
    return f"/keyspaces/{keyspace}/keys/{urllib.parse.quote(key, safe='')}"


def configuration(data, **parts):
    """Writes a configuration and returns where; JSON is YAML."""
    file = pathlib.Path(f"{data}.yml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": "1.0", "server": {"reload_interval": "1d"}, "logging": {"level": "DEBUG"}, **parts}))
    return file


def serve(name, **parts):
    data = server.fresh(f"read_through/{name}")
    return server.Server(data, arguments=["-c", configuration(data, **parts)])


def fill(database):
    kind = database.kind
    columns = COLUMNS[kind]
    if kind == "postgres":
        database.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
    declared = ", ".join(f"{name} {of_type}" for name, (of_type, _, _) in columns.items())
    values = ", ".join(literal for _, literal, _ in columns.values())
    uuid = "uuid" if kind == "postgres" else "varchar(36)"
    database.execute(
        f"CREATE TABLE things (id int PRIMARY KEY, {declared}); INSERT INTO things VALUES (1, {values});"
        f"CREATE TABLE words (word varchar(100) PRIMARY KEY, uid {uuid}, meaning text);"
        "INSERT INTO words VALUES ('it''s \u00fc/?', '00112233-4455-6677-8899-aabbccddeeff', 'odd'), ('a', NULL, 'first'), ('b', NULL, 'second')"
    )


def keyspaces_of(kind, url_file):
    def source(query, **more):
        return {"source": {"sql": {"url_file": str(url_file), "query": query, **more}, "timeout": "10s", "max_concurrency": 4}}

    mark = MARK[kind]
    keyspaces = {f"{kind}-{name}": source(f"SELECT {name} FROM things WHERE id = {mark}") for name in COLUMNS[kind]}
    keyspaces |= {
        f"{kind}-words": source(f"SELECT meaning FROM words WHERE word = {mark}", content_type="text/x-word"),
        f"{kind}-by-uid": source(f"SELECT meaning FROM words WHERE uid = {mark}"),
        f"{kind}-all": source(f"SELECT meaning FROM words WHERE word <> {mark} ORDER BY word"),
        f"{kind}-wrong": source(f"SELECT missing FROM words WHERE word = {mark}"),
    }
    return keyspaces


def values(checks, client, kind):
    """Everything is answered as its own text, and what is not there is not."""
    for name, (of_type, _, expected) in COLUMNS[kind].items():
        answer = client.request("GET", path(f"{kind}-{name}", "1"))
        wanted = (404, None) if expected is None else (200, expected if isinstance(expected, bytes) else expected.encode())
        checks.equal((answer.status, answer.body if answer.status == 200 else None), wanted, f"{kind} {of_type}")
    odd = client.request("GET", path(f"{kind}-words", "it's \u00fc/?"))
    checks.equal((odd.status, odd.body, odd.header("Content-Type")), (200, b"odd", "text/x-word"), f"{kind}: an odd key")
    uid = client.request("GET", path(f"{kind}-by-uid", "00112233-4455-6677-8899-aabbccddeeff"))
    checks.equal((uid.status, uid.body), (200, b"odd"), f"{kind}: a UUID as a key")
    first = client.request("GET", path(f"{kind}-all", "none"))
    checks.equal((first.status, first.body), (200, b"first"), f"{kind}: the first of several rows")
    for key in ["absent", "' OR '1'='1", "a' --"]:
        checks.equal(client.request("GET", path(f"{kind}-words", key)).status, 404, f"{kind}: {key!r} is nobody's key")
    wrong = client.request("GET", path(f"{kind}-wrong", "a"))
    checks.equal((wrong.status, json.loads(wrong.body)["code"]), (502, "source_failed"), f"{kind}: a query that is wrong")
    if kind == "postgres":
        for key in ["x", "1.0", "99999999999", "a\0b"]:
            checks.equal(client.request("GET", path("postgres-a_text", key)).status, 404, f"{key!r} is no id and nobody's")


def deaths(checks, client, database):
    """A database dies and comes again."""
    kind = database.kind
    database.kill()
    kept = client.request("GET", path(f"{kind}-words", "it's \u00fc/?"))
    checks.equal((kept.status, kept.body), (200, b"odd"), f"{kind} is gone: what was fetched is answered")
    gone = client.request("GET", path(f"{kind}-words", "a"))
    checks.check(gone.status in (502, 504), f"{kind} is gone: what was not fetched is {gone.status}")
    database.start()
    back = wait_until(lambda: (found := client.request("GET", path(f"{kind}-words", "a"))).status == 200 and found, 60, f"{kind} answers again")
    checks.equal(back.body, b"first", f"{kind} is back")


def replaced_password(checks, client, database, url_file):
    """The password is replaced in the database and in the file, and every connection is cut: nothing is restarted."""
    if database.kind == "postgres":
        database.execute(f"ALTER ROLE standpipe PASSWORD '{NEW_PASSWORD}'", admin=True)
    else:
        database.execute(f"SET PASSWORD FOR standpipe@'%' = PASSWORD('{NEW_PASSWORD}')", admin=True, database="mysql")
    database.restart()
    refused = client.request("GET", path(f"{database.kind}-words", "b"))
    checks.equal(refused.status, 502, f"{database.kind} refuses the old password")
    url_file.write_text(database.url.replace(database.password, NEW_PASSWORD) + "\n")
    again = wait_until(
        lambda: (found := client.request("GET", path(f"{database.kind}-words", "b"))).status == 200 and found, 60, "the new password is used",
    )
    checks.equal(again.body, b"second", f"{database.kind}: the password was replaced without a restart")


def secrets(checks, target, what):
    """No password is in the log, in what the service tells of itself, or in what `standpipe check` prints of its file."""
    client, printed = target.client(), server.run("check", "--config-only", "-c", f"{target.data}.yml")
    checks.equal(printed.returncode, 0, f"{what}: standpipe check")
    shown = {"the log at DEBUG": target.whole_log().encode(), "standpipe check": printed.stdout + printed.stderr}
    shown |= {page: client.request("GET", page).body for page in ("/keyspaces", "/metrics", "/limits", "/readyz?verbose")}
    for where, text in shown.items():
        checks.check(text and b"hunter" not in text, f"{what}: no password in {where}")


def of_databases(checks, directory):
    with contextlib.ExitStack() as stack:
        found = {kind: stack.enter_context(make()) for kind, make in databases.KINDS.items()}
        keyspaces, url_files = {}, {}
        for kind, database in found.items():
            fill(database)
            url_files[kind] = directory / f"{kind}.url"
            url_files[kind].write_text(database.url + "\n")
            keyspaces |= keyspaces_of(kind, url_files[kind])
        with serve("databases", keyspaces=keyspaces) as target:
            client = target.client()
            for kind in found:
                values(checks, client, kind)
            for kind in ("postgres", "mariadb"):
                deaths(checks, client, found[kind])
                replaced_password(checks, client, found[kind], url_files[kind])
            secrets(checks, target, "databases")
            checks.ends_well(target)


def of_databases_behind_tls(checks):
    """The authority of a database is believed because the configuration names it, and not otherwise."""
    for make, verify in ((databases.PostgreSQL, "sslmode=verify-full"), (databases.MariaDB, "ssl-mode=VERIFY_IDENTITY")):
        with make(tls=True) as database:
            fill(database)
            kind = database.kind
            source = {
                "sql": {"url": f"{database.url}?{verify}", "query": f"SELECT meaning FROM words WHERE word = {MARK[kind]}"},
                "timeout": "10s",
            }
            for ca, statuses in ((str(database.certificates.ca), [200]), ("", [502, 504])):
                with serve(f"tls-{kind}-{len(ca)}", outbound={"ca": ca}, keyspaces={"words": {"source": source}}) as target:
                    answer = target.client().request("GET", path("words", "a"))
                    checks.check(answer.status in statuses, f"{kind} over TLS, authority {'named' if ca else 'unknown'}: {answer.status}")
                    secrets(checks, target, f"{kind} over TLS")


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers every path with a number that grows by one each second."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.path} {int(time.time())}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/x-origin")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *_):
        """Whoever does not trust us hangs up."""


def of_https(checks, directory):
    """An HTTPS server is believed by whoever names its authority."""
    certificates = databases.Certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    origin = Threads(("127.0.0.1", 0), Origin)
    origin.socket = context.wrap_socket(origin.socket, server_side=True)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    try:
        endpoint = f"https://127.0.0.1:{origin.server_address[1]}/x/{{key}}"
        keyspaces = {
            "named": {"source": {"http": {"endpoint": endpoint, "ca": str(certificates.ca)}}},
            "unknown": {"source": {"http": {"endpoint": endpoint}}},
        }
        with serve("https", keyspaces=keyspaces) as target:
            client = target.client()
            named = client.request("GET", path("named", "a b"))
            checks.equal((named.status, named.body.split(b" ")[0]), (200, b"/x/a%20b"), "HTTPS with a named authority")
            checks.equal(named.header("Content-Type"), "text/x-origin", "the type of an HTTPS answer")
            unknown = client.request("GET", path("unknown", "a"))
            checks.equal(unknown.status, 502, "HTTPS with an unknown authority")
            checks.check("certificate" in target.log(), "the log says that it is the certificate")
            checks.ends_well(target)
    finally:
        origin.shutdown()


class Load(threading.Thread):
    """Reads without a pause and notes how each read went."""

    def __init__(self, target, paths):
        super().__init__(daemon=True)
        self.client, self.paths = target.client(), paths
        self.statuses, self.times, self.sources, self.ended = {}, [], {}, False

    def run(self):
        count = 0
        while not self.ended:
            began = time.monotonic()
            answer = self.client.request("GET", self.paths[count % len(self.paths)])
            self.times.append((began, time.monotonic() - began))
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            how = (answer.header("Cache-Status") or "-").split(";")
            how = how[1].strip() if len(how) > 1 else "-"
            how += " stale" if "ttl=-" in (answer.header("Cache-Status") or "") else ""
            self.sources[how] = self.sources.get(how, 0) + 1
            count += 1

    def end(self):
        self.ended = True
        self.join(60)

    def p99_ms(self, began, ended):
        times = sorted(took for at, took in self.times if began <= at <= ended)
        return 1000 * times[len(times) * 99 // 100] if times else None


def start_origin(port):
    command = [sys.executable, "-m", "live.read_through", "--origin", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def answers():
        try:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/")
                return connection.getresponse().status == 200
        except OSError:
            return False

    wait_until(answers, 60, "the origin answers")
    return process


def of_a_death(checks, seconds):
    """The server behind two keyspaces is killed for a while, under load."""
    port = databases.free_port()
    origin = start_origin(port)
    http_source = {"http": {"endpoint": f"http://127.0.0.1:{port}/{{key}}"}, "timeout": "2s", "circuit_breaker": {"failures": 3, "reset": "2s"}}
    keyspaces = {
        "covered": {"ttl": "1s", "source": {**http_source, "stale_if_error": "1h", "stale_while_revalidate": "500ms"}},
        "bare": {"ttl": "1s", "source": http_source},
    }
    keys = [f"k{n}" for n in range(50)]
    with serve("death", keyspaces=keyspaces, logging={"level": "INFO"}) as target:
        client = target.client()
        client.put("plain", b"plain")
        for key in keys:
            checks.passed += client.request("GET", path("covered", key)).status == 200
        covered = [Load(target, [path("covered", key) for key in keys]) for _ in range(3)]
        plain = Load(target, ["/v1/plain"])
        loads = [*covered, plain]
        began = time.monotonic()
        for load in loads:
            load.start()
        time.sleep(3)
        origin.send_signal(signal.SIGKILL)
        origin.wait(30)
        died = time.monotonic()
        wait_until(lambda: (refused := client.request("GET", path("bare", "a"))).status == 503 and refused, 60, "the breaker opens")
        refused = client.request("GET", path("bare", "b"))
        if refused.status == 503:
            checks.equal(json.loads(refused.body)["code"], "breaker_open", "a reader without cover is told at once")
            checks.check(1 <= int(refused.header("Retry-After")) <= 2, "and when to come again")
        else:
            checks.equal(refused.status, 502, "a reader without cover was the one who tried")
        time.sleep(max(0.0, died + seconds - time.monotonic()))
        back = time.monotonic()
        origin = start_origin(port)
        now = int(time.time())

        def newest():
            answer = client.request("GET", path("covered", keys[0]))
            return answer.status == 200 and int(answer.body.split()[1]) >= now

        wait_until(newest, 60, "new values after the origin is back")
        wait_until(lambda: client.request("GET", path("bare", "a")).status == 200, 60, "the keyspace without cover answers again")
        for load in loads:
            load.end()
        reads = sum(sum(load.statuses.values()) for load in covered)
        say(f"{reads} reads of what was fetched once, by how they came about: {covered[0].sources}")
        for load in covered:
            checks.equal(list(load.statuses), [200], "every read of what was fetched once")
        checks.check(any("stale" in how for load in covered for how in load.sources), "some of them were answered although their time was over")
        checks.equal(list(plain.statuses), [200], "every read of another keyspace")
        before, during = plain.p99_ms(began, died), plain.p99_ms(died, back)
        checks.check(during <= max(5 * before, 50), f"p99 of another keyspace: {before:.1f} ms before, {during:.1f} ms while the origin was gone")
        log = target.whole_log()
        # One line for each change of state, however many fetches failed.
        told = [line for line in log.splitlines() if "the source fails" in line or "the source answers again" in line]
        checks.check(2 <= len(told) <= 12, f"{len(told)} lines in the log tell of it")
        origin.kill()
        origin.wait(30)
        checks.ends_well(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long the server is gone (20)")
    parser.add_argument("--origin", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.origin is not None:
        Threads(("127.0.0.1", arguments.origin), Origin).serve_forever()
        return
    checks = Checks()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="standpipe-read-through-"))
    try:
        of_databases(checks, directory)
        of_databases_behind_tls(checks)
        of_https(checks, directory)
        of_a_death(checks, arguments.seconds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
