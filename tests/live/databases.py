"""Real databases for the tests: PostgreSQL and MariaDB from their Debian packages, SQLite as a file.

Each server lives in a temporary directory of its own, on a port and a socket of its own, as a user without rights, and is
killed, started again and stopped by the test that asked for it. Use one as

    with PostgreSQL() as database:
        database.execute("CREATE TABLE t (k text PRIMARY KEY, v bigint)")
        url = database.url                      # for a configuration; it holds `database.password`
        database.kill()                         # kill -9 of every process
        database.start()                        # on the same port; returns when it answers
        rows = database.rows("SELECT k, v FROM t")

Run by itself, this starts, kills and stops each of them once.
"""

import argparse
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

from .checks import Checks, wait_until

# Who runs the servers where we are root, whom PostgreSQL refuses.
UNPRIVILEGED = "nobody"
# Below the ports that a system gives to whoever asks for any, so that nobody gets one while its server is down.
PORTS = range(15_000, 32_000)
# Of the user and of the database itself. The password is one that a search through a log finds.
NAME = "standpipe"
PASSWORD = "hunter2-of-the-database"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class Failed(Exception):
    """A database that does not do what it should: the statement or the start, and what it said."""


class Certificates:
    """An authority of our own and what it has signed for 127.0.0.1 and localhost."""

    def __init__(self, directory):
        self.ca, self.certificate, self.key = (directory / name for name in ("ca.pem", "server.pem", "server.key"))
        ca_key, request, names = directory / "ca.key", directory / "server.csr", directory / "names"
        names.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self.openssl("req", "-x509", *new_key, "-keyout", ca_key, "-out", self.ca, "-days", "2", "-subj", "/CN=authority of a test")
        self.openssl("req", *new_key, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        self.openssl(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-out", self.certificate,
            "-days", "2", "-extfile", names,
        )

    @staticmethod
    def openssl(*arguments):
        ran(["openssl", *map(str, arguments)])


class Server:
    """What the servers have in common. `tls` makes one that has a certificate of an authority of its own, `certificates.ca`."""

    password = PASSWORD

    def __init__(self, tls=False):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{NAME}-{self.kind}-"))
        self.log_path = self.directory / "log"
        self.process = None
        self.port = None
        try:
            self.certificates = Certificates(self.directory) if tls else None
            self.give_away()
            self.install()
            self.first_start()
        except BaseException:
            self.close()
            raise

    @property
    def address(self):
        return "127.0.0.1", self.port

    @property
    def url(self):
        return self.url_at(self.port)

    def url_at(self, port):
        """The same database behind another port of this machine, a proxy's say."""
        return f"{self.scheme}://{NAME}:{PASSWORD}@127.0.0.1:{port}/{NAME}"

    def first_start(self):
        """Takes a port that is free and stays with it: neither server can be told to take any."""
        for _ in range(20):
            self.port = free_port()
            try:
                self.start()
                break
            except Failed as error:
                if "ddress already in use" not in str(error):
                    raise
        else:
            raise Failed(f"{self.kind} found no free port")
        self.create()

    def start(self, seconds=60):
        """Starts it, on what the last run has left, and waits until it answers."""
        if self.running():
            raise Failed(f"{self.kind} runs already")
        begun = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = self.spawn(self.command(), stdout=log, stderr=log)

        def answers():
            if self.process.poll() is not None:
                raise Failed(f"{self.kind} did not start: {self.log(begun)[-2000:]}")
            return self.answers()

        try:
            wait_until(answers, seconds, f"{self.kind} answers")
        except BaseException:
            self.kill()
            raise
        return self

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9 of the server and of every process it has made, and waits until they are gone."""
        if self.process is None:
            return
        if self.running():
            # It is held first, so that it makes no more of them while they are looked for.
            self.process.send_signal(signal.SIGSTOP)
            pids = children(self.process.pid)
            self.process.kill()
            self.process.wait(30)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it went with its parent
            wait_until(lambda: not any(alive(pid) for pid in pids), 30, f"{self.kind} is gone")
        self.process = None

    def pause(self):
        """Lets it hang: its connections stay open, and nothing answers."""
        for pid in [self.process.pid, *children(self.process.pid)]:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self):
        for pid in [*children(self.process.pid), self.process.pid]:
            os.kill(pid, signal.SIGCONT)

    def stop(self, seconds=60):
        """Stops it as its operator would, and returns the exit status."""
        self.process.send_signal(self.stop_signal)
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def restart(self):
        self.stop()
        self.start()

    def log(self, start=0):
        with open(self.log_path, "rb") as log:
            log.seek(start)
            return log.read().decode("utf-8", "replace")

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def give_away(self):
        """Its directory is its user's."""
        if os.geteuid() == 0:
            owner = pwd.getpwnam(UNPRIVILEGED)
            for path in [self.directory, *self.directory.iterdir()]:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self.directory.chmod(0o755)

    def spawn(self, command, **more):
        """Runs a command as the unprivileged user, with the directory as its home."""
        if os.geteuid() == 0:
            owner = pwd.getpwnam(UNPRIVILEGED)
            more |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        environment = {"PATH": PATH, "HOME": str(self.directory), "LC_ALL": "C.UTF-8"}
        return subprocess.Popen(
            [str(part) for part in command], env=environment, cwd=self.directory, stdin=subprocess.DEVNULL, **more,
        )

    def run(self, command):
        """Runs a command of the package as that user to its end."""
        process = self.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate(timeout=120)
        if process.returncode != 0:
            raise Failed(f"{command[0]} ended with {process.returncode}: {output.decode('utf-8', 'replace')[-2000:]}")


class PostgreSQL(Server):
    kind = scheme = "postgres"
    # "Fast": sessions are ended, what was committed is written.
    stop_signal = signal.SIGINT

    def install(self):
        self.data = self.directory / "data"
        password = self.directory / "password"
        password.write_text(PASSWORD)
        self.run([
            programme("initdb"), "--pgdata", self.data, "--username", "admin", "--pwfile", password,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
        ])

    def command(self):
        # Without fsync a commit survives the death of every process, which is all that dies here.
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory,
            "fsync": "off", "shared_buffers": "32MB", "max_connections": 40, "dynamic_shared_memory_type": "mmap",
        }
        if self.certificates:
            settings |= {"ssl": "on", "ssl_cert_file": self.certificates.certificate, "ssl_key_file": self.certificates.key}
        return [programme("postgres"), "-D", self.data, *(f"--{name}={value}" for name, value in settings.items())]

    def create(self):
        self.psql(f"CREATE ROLE {NAME} LOGIN PASSWORD '{PASSWORD}'", "admin", "postgres")
        self.psql(f"CREATE DATABASE {NAME} OWNER {NAME}", "admin", "postgres")

    def answers(self):
        try:
            return bool(self.psql("SELECT 1", "admin", "postgres"))
        except Failed:
            return False

    def psql(self, sql, user=NAME, database=NAME):
        return ran(
            [programme("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p", str(self.port), "-U", user, database],
            sql, {"PGPASSWORD": PASSWORD, "PGCLIENTENCODING": "UTF8", "PGCONNECT_TIMEOUT": "10"},
        )

    def execute(self, sql, admin=False):
        """Runs statements, as the owner of the database or as who may do everything."""
        self.psql(sql, "admin" if admin else NAME)

    def rows(self, sql):
        """What one query finds: a list of tuples of text, None for NULL."""
        return separated(self.psql(f"COPY ({sql}) TO STDOUT;"), r"\N")


class MariaDB(Server):
    kind = "mariadb"
    scheme = "mysql"
    stop_signal = signal.SIGTERM

    def install(self):
        self.data = self.directory / "data"
        self.run([
            programme("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve",
            "--auth-root-authentication-method=normal", "--innodb-flush-method=nosync",
        ])

    def command(self):
        # 2: a commit is handed to the system and survives the death of the process, which is all that dies here.
        settings = {
            "datadir": self.data, "socket": self.directory / "socket", "port": self.port, "bind-address": "127.0.0.1",
            "pid-file": self.directory / "pid", "character-set-server": "utf8mb4", "collation-server": "utf8mb4_general_ci",
            "innodb-flush-log-at-trx-commit": 2, "innodb-buffer-pool-size": "32M", "innodb-log-file-size": "16M",
        }
        if self.certificates:
            settings |= {"ssl-ca": self.certificates.ca, "ssl-cert": self.certificates.certificate, "ssl-key": self.certificates.key}
        return [
            programme("mariadbd"), "--no-defaults", "--skip-name-resolve", "--skip-log-bin",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]

    def create(self):
        self.execute(
            f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4; CREATE USER {NAME}@'%' IDENTIFIED BY '{PASSWORD}'; "
            f"GRANT ALL ON {NAME}.* TO {NAME}@'%'",
            admin=True, database="mysql",
        )

    def answers(self):
        try:
            return bool(self.mariadb("SELECT 1", "root", "mysql"))
        except Failed:
            return False

    def mariadb(self, sql, user=NAME, database=NAME):
        return ran(
            [programme("mariadb"), "--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4",
             f"--socket={self.directory / 'socket'}", f"--user={user}", database],
            sql, {"MYSQL_PWD": "" if user == "root" else PASSWORD},
        )

    def execute(self, sql, admin=False, database=NAME):
        """Runs statements, as the owner of the database or as who may do everything."""
        self.mariadb(sql, "root" if admin else NAME, database)

    def rows(self, sql):
        """What one query finds: a list of tuples of text, None for NULL (and for the text NULL, which its client shows alike)."""
        return separated(self.mariadb(sql), "NULL")


class SQLite:
    """A file. Nothing runs, so killing and starting it does nothing."""

    kind = scheme = "sqlite"
    password = None
    certificates = None

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{NAME}-sqlite-"))
        self.path = self.directory / "database.sqlite"
        self.connect().close()

    @property
    def url(self):
        return f"sqlite://{self.path}"

    def connect(self):
        """Of the standard library, in autocommit; waits 30 s for whoever writes."""
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        return connection

    def execute(self, sql, admin=False):
        connection = self.connect()
        try:
            connection.executescript(sql)
        except sqlite3.Error as error:
            raise Failed(f"sqlite: {error}") from error
        finally:
            connection.close()

    def rows(self, sql):
        connection = self.connect()
        try:
            return [tuple(None if value is None else str(value) for value in row) for row in connection.execute(sql)]
        finally:
            connection.close()

    def start(self):
        return self

    def kill(self):
        pass

    def stop(self):
        return 0

    def restart(self):
        pass

    def running(self):
        return True

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


KINDS = {"postgres": PostgreSQL, "mariadb": MariaDB, "sqlite": SQLite}


def programme(name):
    """Where a command of the packages is: Debian keeps PostgreSQL's out of the PATH."""
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, versions), PATH]))
    if found is None:
        raise Failed(f"{name} is not installed; ./tests/run databases installs it")
    return found


def ran(command, text="", environment=None):
    """Runs a client to its end and returns what it printed."""
    finished = subprocess.run(
        [str(part) for part in command], input=text.encode(), capture_output=True, timeout=60, check=False,
        env={"PATH": PATH, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    if finished.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name}: {finished.stderr.decode('utf-8', 'replace')[-2000:]}")
    return finished.stdout.decode("utf-8")


def separated(text, null):
    """Lines of fields between tabs, in which both clients escape alike what would be neither."""
    def plain(field):
        meaning = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "v": "\v"}
        return re.sub(r"\\(.)", lambda found: meaning.get(found[1], found[1]), field, flags=re.DOTALL)

    lines = text.split("\n")[:-1]
    return [tuple(None if field == null else plain(field) for field in line.split("\t")) for line in lines]


def free_port():
    """One that nobody listens on."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def state(pid):
    """(parent, letter of the state) of a process; None when there is none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), fields[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(parent):
    pids = [int(path.name) for path in pathlib.Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if (state(pid) or (None,))[0] == parent]


def alive(pid):
    """Whether it can still do something: a dead one may wait long for somebody to ask for its status."""
    found = state(pid)
    return found is not None and found[1] not in "ZX"


def lives(checks, kind, tls):
    """A start, kill -9, another start, a stop: what was committed stays, what was not goes."""
    name, began = kind.kind + (" with TLS" if tls else ""), time.monotonic()
    with kind(tls) if tls else kind() as database:
        print(f"        {name} answered after {time.monotonic() - began:.1f} s", flush=True)
        database.execute("CREATE TABLE t (k varchar(100) PRIMARY KEY, v bigint)")
        database.execute("INSERT INTO t VALUES ('committed', 1), ('tab\tand line\nand ü', NULL)")
        database.kill()
        database.start()
        database.execute("BEGIN; INSERT INTO t VALUES ('not committed', 2); ROLLBACK")
        expected = [("committed", "1"), ("tab\tand line\nand ü", None)]
        checks.equal(database.rows("SELECT k, v FROM t ORDER BY k"), expected, f"{name}: rows after kill -9")
        checks.equal(database.stop(), 0, f"{name}: exit status of a stop")
        database.start()
        checks.equal(database.rows("SELECT count(*) FROM t"), [("2",)], f"{name}: rows after a stop")
        try:
            database.execute("INSERT INTO t VALUES ('committed', 3)")
            checks.check(False, f"{name}: the same key twice was taken")
        except Failed as error:
            checks.check("committed" in str(error) or "UNIQUE" in str(error), f"{name}: a refused statement says so")
    checks.check(not database.directory.exists(), f"{name}: nothing of it stays")


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checks = Checks()
    for kind, tls in ((SQLite, False), (PostgreSQL, False), (PostgreSQL, True), (MariaDB, False), (MariaDB, True)):
        lives(checks, kind, tls)
    checks.finish()


if __name__ == "__main__":
    main()
