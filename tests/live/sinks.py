"""Sinks against real databases: every increment arrives exactly once, whoever is killed and whichever answer is lost.

Each writer owns its keys and adds to the counters of three keyspaces, whose sinks pass the sums on to PostgreSQL, MariaDB and
SQLite. A counter here and its row there are told by different records, so at the end each row has to equal its counter, and
each counter what its writer knows: what was answered, and at most what was not.
"""

import argparse
import contextlib
import json
import math
import random
import shutil
import signal
import time

from . import proxies, server
from .checks import Checks, say, wait_until
from .databases import Failed, MariaDB, PASSWORD, PostgreSQL, SQLite
from .http_target import HttpTarget
from .sink_trial import Trial, Writer, audit, counters, rows_of, sink, table


def kills(checks, options):
    """Standpipe and each database are killed with -9 at random while writers add."""
    kinds = {"pg": PostgreSQL, "maria": MariaDB, "lite": SQLite}
    with contextlib.ExitStack() as stack:
        databases = {name: stack.enter_context(kinds[name]()) for name in options.databases}
        for keyspace, database in databases.items():
            table(database, keyspace)
        trial = Trial("sinks", {name: sink(database.url, name) for name, database in databases.items()})
        trial.start()
        began = time.monotonic()
        writers = [
            Writer(number, trial, list(databases), options.increments, options.keys // options.writers, options.batch)
            for number in range(options.writers)
        ]
        for writer in writers:
            writer.start()
        killed = kill_all(trial, databases, writers, options)
        for writer in writers:
            writer.join(options.patience)
            checks.check(not writer.is_alive() and not writer.errors, f"writer of {writer.keys[0]} ended: {writer.errors[:2]}")
        took = time.monotonic() - began
        for keyspace, database in databases.items():
            audit(checks, trial, keyspace, database, keyspace, writers, killed)
        say(f"{options.writers} x {options.increments} increments over {options.keys} keys took {took:.0f} s, {killed}")
        trial.end(checks)


def kill_all(trial, databases, writers, options):
    """Kills each as often as asked for, at random moments of what the writers do; tells how often."""
    chance = random.Random(f"{options.seed}/kills")
    # A file has no process.
    names = ["standpipe", *(name for name, database in databases.items() if database.kind != "sqlite")]
    victims = [name for name in names for _ in range(options.kills)]
    chance.shuffle(victims)
    whole = options.writers * options.increments
    moments = sorted(chance.uniform(0.02, 0.95) * whole for _ in victims)
    for victim, moment in zip(victims, moments):
        wait_until(lambda: whole - sum(writer.left for writer in writers) >= moment, options.patience, "the next kill is due")
        if victim == "standpipe":
            trial.target.kill()
            trial.start()
        else:
            databases[victim].kill()
            # How long it is away is the fault being tried, not a wait for something.
            time.sleep(chance.uniform(0, 0.3))
            databases[victim].start()
    return ", ".join(f"{options.kills} kills of {name}" for name in names)


def lost_commits(checks, options):
    """A proxy cuts the connection around the commit: before it, on its way, or behind it."""
    for database in (PostgreSQL(), MariaDB()):
        fates = [proxies.PASS, proxies.UNSENT, proxies.UNKNOWN, proxies.UNHEARD]
        with database, proxies.Proxy(database.address, fates, f"{options.seed}/{database.kind}") as proxy:
            table(database, "t")
            trial = Trial("sinks-lost", {"views": sink(database.url_at(proxy.port), "t", every="20ms")})
            trial.start()
            writers = [Writer(number, trial, ["views"], options.increments // 2, 10, 5) for number in range(2)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(options.patience)

            def met_all():
                trial.add("views", writers[0].keys[0], 1)
                writers[0].known["views", writers[0].keys[0]] += 1
                return all(proxy.met[fate] >= 3 for fate in fates)

            wait_until(met_all, 60, f"{database.kind}: every fate of a commit, three times ({proxy.met})")
            what = f"{database.kind}, commits cut {proxy.met}"
            audit(checks, trial, "views", database, "t", writers, what)
            known = trial.target.whole_log().count("had this generation already")
            checks.check(known >= 3, f"{database.kind}: {known} generations were found to be applied already")
            trial.end(checks)


def slow_store(checks, options):
    """A store that takes two seconds for every statement is not felt by who writes."""
    with PostgreSQL() as database:
        table(database, "t")
        trial = Trial("sinks-slow", {"views": sink(database.url, "t", timeout="30s")})
        trial.start()

        def measured():
            writers = [Writer(number, trial, ["views"], min(options.increments, 2_000), 20, 1) for number in range(4)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(options.patience)
            times = sorted(time for writer in writers for time in writer.times)
            return times[math.ceil(len(times) * 0.99) - 1], times[-1], len(times)

        before, _, _ = measured()
        database.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$; "
            "CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION slow()"
        )
        trial.add("views", "w0/0", 1)
        wait_until(lambda: trial.shown("views")["state"] == "sending", 30, "the slow store is at it")
        p99, longest, count = measured()
        checks.check(
            p99 <= 3 * before + 0.1 and longest < 2,
            f"p99 of {count} increments: {p99 * 1e3:.1f} ms beside a store that sleeps 2 s, {before * 1e3:.1f} ms before; the longest {longest * 1e3:.0f} ms",
        )
        database.execute("DROP TRIGGER slow ON t")
        trial.settle("views")
        trial.end(checks)


def restored_store(checks):
    """A backup of the store under a sink whose database has gone on says so, and does what it is told."""
    for choice, more in (("skip", 0), ("resend", 1)):
        with PostgreSQL() as database:
            table(database, "t")
            trial = Trial("sinks-restored", {"views": sink(database.url, "t", every="1h")})
            backup = server.fresh("sinks-restored-backup")
            trial.start()
            database.kill()
            trial.add("views", "a", 1)
            trial.target.stop()
            shutil.copytree(trial.data, backup)
            database.start()
            trial.start()
            for by in (10, 100):
                trial.add("views", "a", by)
                trial.settle("views")
            trial.target.stop()
            shutil.rmtree(trial.data)
            shutil.copytree(backup, trial.data)
            trial.start()
            trial.add("views", "a", 1000)
            answer = trial.sync("views")
            checks.equal((answer.status, json.loads(answer.body)["code"]), (502, "sink_ahead"), "sync of a restored store")
            checks.equal(trial.shown("views")["state"], "sink_ahead", "its state")
            checks.equal(rows_of(database, "t"), {"a": "111"}, "nothing is passed on meanwhile")
            answer = trial.ask("POST", "/sinks/views/resume", {"generation": choice})
            checks.equal(answer.status, 200, f"resume with {choice}")
            checks.equal(rows_of(database, "t"), {"a": str(1111 + more)}, f"after {choice}")
            trial.end(checks)
            shutil.rmtree(backup, ignore_errors=True)


def refused_rows(checks):
    """Rows that the database refuses are in the list behind kill -9, and arrive once they are taken."""
    for database in (PostgreSQL(), MariaDB()):
        with database:
            table(database, "t", "bigint CHECK (v < 100)")
            trial = Trial("sinks-dead", {"views": sink(database.url, "t", every="1h")})
            trial.start()
            trial.settle("views")
            for key, by in (("fine", 5), ("much", 500), ("more", 600)):
                trial.add("views", key, by)
            passed = json.loads(trial.sync("views").body)
            checks.equal((passed["passed_on"], passed["set_aside"]), (1, 2), f"{database.kind}: passed on and refused")
            trial.target.kill()
            trial.start()
            dead = json.loads(trial.ask("GET", "/sinks/views/dead").body)["items"]
            checks.equal([(item["key"], item["sum"]) for item in dead], [("more", 600), ("much", 500)], f"{database.kind}: refused, behind kill -9")
            trial.add("views", "much", 1)
            redriven = json.loads(trial.ask("POST", "/sinks/views/redrive").body)
            checks.equal(redriven["redriven"], 2, f"{database.kind}: tried again")
            trial.target.kill()
            database.execute("ALTER TABLE t DROP CONSTRAINT t_v_check" if database.kind == "postgres" else "ALTER TABLE t MODIFY v bigint")
            trial.start()
            trial.settle("views")
            checks.equal(rows_of(database, "t"), {"fine": "5", "much": "501", "more": "600"}, f"{database.kind}: every sum arrived")
            trial.end(checks)


def latest_values(checks):
    """Values and deletions, behind kill -9 of both."""
    for database in (PostgreSQL(), MariaDB()):
        with database:
            table(database, "t", "bytea" if database.kind == "postgres" else "LONGBLOB")
            trial = Trial("sinks-upsert", {"views": sink(database.url, "t", "upsert", "1h", deletes="propagate")})
            trial.start()
            client = trial.target.client()
            for number in range(50):
                client.request("PUT", f"/keyspaces/views/keys/k{number}", bytes([number, 0xFF, 0]))
            trial.settle("views")
            for number in range(0, 50, 2):
                client.request("DELETE", f"/keyspaces/views/keys/k{number}")
            client.request("PUT", "/keyspaces/views/keys/k1", b"new")
            database.kill()
            checks.equal(trial.sync("views").status, 502, f"{database.kind}: sync without a database")
            trial.target.kill()
            database.start()
            trial.start()
            trial.settle("views")
            hexed = "encode(v, 'hex')" if database.kind == "postgres" else "lower(hex(v))"
            found = dict(database.rows(f"SELECT k, {hexed} FROM t"))
            expected = {f"k{number}": bytes([number, 0xFF, 0]).hex() for number in range(1, 50, 2)} | {"k1": b"new".hex()}
            checks.check(found == expected, f"{database.kind}: {len(found)} values, as they were put last, and none that was deleted")
            trial.end(checks)


def strange_keys(checks):
    """What waits is JSON, and what is passed on the same keys; U+0000 is refused by PostgreSQL alone."""
    keys = ['quoted "twice"', "nul\0here", "\U0001F600", "back\\slash", "it's; DROP TABLE t; --", "a ", "Ä", "ä"]
    with PostgreSQL() as postgres, MariaDB() as mariadb:
        for database in (postgres, mariadb):
            table(database, "t")
        trial = Trial("sinks-keys", {"pg": sink(postgres.url, "t", every="1h"), "maria": sink(mariadb.url, "t", every="1h")})
        trial.start()
        for keyspace, database in (("pg", postgres), ("maria", mariadb)):
            for key in keys:
                trial.add(keyspace, key, 1)
            pending = trial.ask("GET", f"/sinks/{keyspace}/pending")
            found = json.loads(pending.body)
            checks.equal(found, {key: 1 for key in keys}, f"{keyspace}: what waits, read as JSON")
            checks.equal(list(found), sorted(keys, key=lambda key: key.encode()), f"{keyspace}: sorted by bytes")
            trial.settle(keyspace)
            kept = [key for key in keys if database is mariadb or "\0" not in key]
            checks.equal(sorted(rows_of(database, "t")), sorted(kept), f"{keyspace}: keys that arrived")
            dead = json.loads(trial.ask("GET", f"/sinks/{keyspace}/dead").body)["items"]
            checks.equal([item["key"] for item in dead], sorted(set(keys) - set(kept)), f"{keyspace}: keys that were refused")
        trial.end(checks)


def encrypted(checks):
    """TLS with an authority of the operator's; without it nothing is passed on."""
    with PostgreSQL(tls=True) as postgres, MariaDB(tls=True) as mariadb:
        for database, query in ((postgres, "sslmode=verify-full"), (mariadb, "ssl-mode=VERIFY_IDENTITY")):
            table(database, "t")
            url = f"{database.url}?{query}"
            trusting = {"outbound": {"ca": str(database.certificates.ca)}}
            trial = Trial("sinks-tls", {"views": sink(url, "t", every="1h")})
            trial.start()
            trial.add("views", "a", 1)
            answer = trial.sync("views")
            checks.equal((answer.status, json.loads(answer.body)["code"]), (502, "sink_failed"), f"{database.kind}: an unknown authority")
            trial.target.stop()
            trial.write({"views": sink(url, "t", every="1h")}, **trusting)
            trial.start()
            trial.settle("views")
            checks.equal(rows_of(database, "t"), {"a": "1"}, f"{database.kind}: passed on over TLS")
            trial.end(checks)


def hung_database(checks):
    """A database that hangs holds neither a writer nor a stop up, and what was on its way arrives once."""
    for database in (PostgreSQL(), MariaDB()):
        with database:
            table(database, "t")
            settings = {"server.drain_timeout": "2s"}
            trial = Trial("sinks-hung", {"views": sink(database.url, "t", every="20ms", timeout="30s")}, settings)
            trial.start()
            trial.settle("views")
            database.pause()
            for _ in range(20):
                status = trial.add("views", "a", 1).status
                if status != 200:
                    checks.check(False, f"{database.kind}: an increment was answered {status}")
            wait_until(lambda: trial.shown("views")["state"] == "sending", 30, "the sink waits for the database")
            began = time.monotonic()
            checks.equal(trial.target.stop(), 0, f"{database.kind}: exit status of a stop beside a database that hangs")
            took = time.monotonic() - began
            checks.check(took < 20, f"{database.kind}: the stop took {took:.1f} s, of which 2 s may go to passing on")
            checks.check("not everything was passed on" in trial.target.whole_log(), f"{database.kind}: the log says that something remains")
            database.go_on()
            trial.start()
            trial.settle("views")
            checks.equal(rows_of(database, "t"), {"a": "20"}, f"{database.kind}: everything arrived, once")
            trial.end(checks)


def changed_configuration(checks):
    """Another table, no sink, and the sink again, each by a reload."""
    with PostgreSQL() as database:
        for name in ("t", "u"):
            table(database, name)
        trial = Trial("sinks-reload", {"views": sink(database.url, "t", every="1h")})
        trial.start()

        def reload(keyspaces, done):
            trial.write(keyspaces)
            trial.target.process.send_signal(signal.SIGHUP)
            wait_until(done, 60, "the reload is done")

        def table_is(name):
            items = json.loads(trial.ask("GET", "/sinks").body)["items"]
            return [item["target"].get("table") for item in items] == ([name] if name else [])

        trial.add("views", "a", 1)
        trial.settle("views")
        reload({"views": sink(database.url, "u", every="1h")}, lambda: table_is("u"))
        trial.add("views", "a", 10)
        trial.settle("views")
        checks.equal((rows_of(database, "t"), rows_of(database, "u")), ({"a": "1"}, {"a": "10"}), "sums before and after another table was named")
        database.kill()
        trial.add("views", "a", 100)
        checks.equal(trial.sync("views").status, 502, "sync without a database")
        reload({"views": {}}, lambda: table_is(None))
        checks.equal(trial.sync("views").status, 404, "sync of a keyspace whose sink was taken out")
        trial.add("views", "a", 1000)
        database.start()
        reload({"views": sink(database.url, "u", every="1h")}, lambda: table_is("u"))
        trial.settle("views")
        checks.equal(rows_of(database, "u"), {"a": "110"}, "what waited was kept, and what came without a sink waits for nobody")
        trial.end(checks)


def secrets(checks):
    """Whatever goes wrong with a database, its password is told nowhere: it is right, wrong, in a file, or in a broken address."""
    wrong = f"{PASSWORD}-and-wrong"
    with PostgreSQL() as postgres, MariaDB() as mariadb:
        for database in (postgres, mariadb):
            table(database, "t", "bigint CHECK (v < 100)")
        file = server.CACHE / "sinks-secrets.url"
        file.write_text(postgres.url + "\n", "utf-8")
        in_file = sink("", "t", every="1h")
        del in_file["sink"]["sql"]["url"]
        in_file["sink"]["sql"]["url_file"] = str(file)
        keyspaces = {"file": in_file}
        for database in (postgres, mariadb):
            keyspaces |= {
                f"{database.kind}-good": sink(database.url, "t", every="1h"),
                f"{database.kind}-wrong": sink(database.url.replace(PASSWORD, wrong), "t", every="1h"),
                f"{database.kind}-table": sink(database.url, "absent", every="1h"),
                f"{database.kind}-away": sink(database.url_at(1), "t", every="1h"),
            }
        trial = Trial("sinks-secrets", keyspaces)
        trial.start()
        told = {}
        for keyspace in keyspaces:
            trial.add(keyspace, "much", 500)
            answer = trial.sync(keyspace)
            told[f"sync of {keyspace}"] = answer.body
            expected = 200 if keyspace == "file" or keyspace.endswith("good") else 502
            checks.equal(answer.status, expected, f"sync of {keyspace}")
            told[f"dead of {keyspace}"] = trial.ask("GET", f"/sinks/{keyspace}/dead").body
        for path in ("/sinks", "/metrics", "/limits", "/keyspaces", "/readyz?verbose=true"):
            told[path] = trial.ask("GET", path).body
        checked = server.run("-c", trial.config, "check", "--data", trial.data)
        told["standpipe check"] = checked.stdout + checked.stderr
        checks.check(b"***" in checked.stdout, "standpipe check says that something is there")
        broken = server.CACHE / "sinks-secrets-broken.yml"
        broken.write_text(json.dumps({"keyspaces": {"a": sink(postgres.url.replace("postgres://", "oracle://"), "t")}}), "utf-8")
        refused = server.run("-c", broken, "check", "--data", trial.data)
        checks.equal(refused.returncode, 78, "exit status of a check of an address of an unknown kind")
        told["a refused file"] = refused.stdout + refused.stderr
        leaks = [what for what, text in told.items() if PASSWORD.encode() in text]
        checks.check(not leaks, f"no password in any of {len(told)} texts, of {sum(map(len, told.values()))} bytes {leaks}")
        trial.end(checks)
        for path in (file, broken):
            path.unlink()


def http_target(checks, options):
    """A server that remembers the names of parts counts nothing twice, whoever is killed and whichever answer is lost."""
    with HttpTarget(PASSWORD, random.Random(f"{options.seed}/http")) as upstream:
        config = {"sink": {
            "http": {"endpoint": upstream.url + "?token=" + PASSWORD, "auth": {"user": "u", "password": PASSWORD}},
            "mode": "increment", "every": "50ms", "batch": 7, "timeout": "3s", "backoff_min": "20ms", "backoff_max": "100ms",
        }}
        trial = Trial("sinks-http", {"views": config})
        trial.start()
        writers = [Writer(number, trial, ["views"], options.increments // 2, 10, 5) for number in range(3)]
        for writer in writers:
            writer.start()
        left = sum(writer.left for writer in writers)
        for moment in (1 / 4, 2 / 4, 3 / 4):
            wait_until(lambda: sum(writer.left for writer in writers) <= left * (1 - moment), options.patience, "the next kill is due")
            trial.target.kill()
            trial.start()
        for writer in writers:
            writer.join(options.patience)
        upstream.behave()
        trial.settle("views")
        here = counters(trial, "views", writers)
        wrong = [key for key in here if here[key] != upstream.sums.get(key, 0)]
        checks.check(not wrong, f"HTTP: {len(here)} sums are exact after {upstream.repeated} repeated parts and {upstream.failed} failures; wrong {wrong[:3]}")
        checks.check(upstream.repeated > 0, "HTTP: some parts came twice, under the same name")
        checks.check(not upstream.strange, f"HTTP: every request was as documented {upstream.strange[:2]}")
        for path in ("/sinks", "/metrics"):
            checks.check(PASSWORD.encode() not in trial.ask("GET", path).body, f"HTTP: nothing secret in {path}")
        trial.end(checks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--increments", type=int, default=50_000, help="of each writer")
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=20, help="increments of one request")
    parser.add_argument("--kills", type=int, default=10, help="of Standpipe and of each database")
    parser.add_argument("--databases", nargs="+", choices=("pg", "maria", "lite"), default=["pg", "maria", "lite"], help="of the kills")
    parser.add_argument("--patience", type=float, default=3600, help="seconds for the writers")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("parts", nargs="*", help="only these")
    options = parser.parse_args()
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    say(f"seed {options.seed}")
    checks = Checks()
    parts = {
        "kills": lambda: kills(checks, options),
        "lost_commits": lambda: lost_commits(checks, options),
        "slow_store": lambda: slow_store(checks, options),
        "restored_store": lambda: restored_store(checks),
        "refused_rows": lambda: refused_rows(checks),
        "latest_values": lambda: latest_values(checks),
        "strange_keys": lambda: strange_keys(checks),
        "encrypted": lambda: encrypted(checks),
        "hung_database": lambda: hung_database(checks),
        "changed_configuration": lambda: changed_configuration(checks),
        "secrets": lambda: secrets(checks),
        "http_target": lambda: http_target(checks, options),
    }
    for name in options.parts or parts:
        began = time.monotonic()
        try:
            parts[name]()
        except (Failed, TimeoutError, OSError, KeyError, ValueError, RuntimeError) as error:
            checks.check(False, f"{name} broke off: {error!r}")
        say(f"({name} took {time.monotonic() - began:.1f} s)")
    checks.finish()


if __name__ == "__main__":
    main()
