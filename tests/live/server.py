"""One running `standpipe`: started on an ephemeral port, killed or stopped by its own pid."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

from .checks import wait_until
from .client import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "tests" / ".cache"
BINARY = pathlib.Path(os.environ.get("STANDPIPE_BIN", ROOT / "target" / "debug" / "standpipe"))

ADDRESS = re.compile(r"\b127\.0\.0\.1:([1-9]\d*)")


def log_of(data):
    """Where the log of a data directory is kept: never on the disk under test."""
    return CACHE / "logs" / ("-".join(pathlib.Path(data).relative_to(CACHE).parts) + ".log")


def fresh(name):
    """A data directory that does not exist yet, and no log of it."""
    data = CACHE / name
    shutil.rmtree(data, ignore_errors=True)
    log_of(data).unlink(missing_ok=True)
    return data


def environment(settings):
    """The environment of a run: ours without stray settings, plus `{"log.segment_bytes": "4MiB"}` as variables."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("STANDPIPE_")}
    for name, value in settings.items():
        env["STANDPIPE_" + name.upper().replace(".", "__")] = str(value)
    return env


def run(*arguments, settings=None, timeout=300, **more):
    """Runs a command of the binary to its end: `run("check", "--data", path)`."""
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        env=environment(settings or {}),
        stdin=more.pop("stdin", subprocess.DEVNULL),
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=timeout,
        cwd=CACHE,
        check=False,
        **more,
    )


class Server:
    """The process, its log file and its port. `wait=False` returns before it is ready."""

    def __init__(self, data, settings=None, wait=True, wrapper=(), arguments=()):
        self.data = pathlib.Path(data)
        self.log_path = log_of(data)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.port = None
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, BINARY, "-e", "127.0.0.1:0", "--data", self.data, *arguments],
                env=environment(settings or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CACHE,
            )
        self.pid = self.process.pid
        if wait:
            self.wait_ready()

    def log(self):
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode("utf-8", "replace")

    def whole_log(self):
        """Of every process on this directory since it was fresh."""
        return self.log_path.read_text("utf-8", "replace")

    def bound(self):
        """The port from the log, or None while it is not bound yet."""
        if self.port is None:
            found = ADDRESS.search(self.log())
            if found:
                self.port = int(found.group(1))
            elif self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.log()[-2000:]}")
        return self.port

    def wait_bound(self, seconds=60):
        return wait_until(self.bound, seconds, "the server's address in its log")

    def wait_ready(self, seconds=120):
        self.wait_bound(seconds)
        client = self.client()

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.log()[-2000:]}")
            try:
                return client.request("GET", "/readyz").status == 200
            except OSError:
                return False

        wait_until(ready, seconds, "/readyz answers 200")
        client.close()
        return self

    def client(self, timeout=30):
        return Client(self.wait_bound(), timeout)

    def kill(self):
        """kill -9, and waits until the process is gone."""
        self.process.kill()
        return self.process.wait(30)

    def stop(self, seconds=60):
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"no VmRSS for {self.pid}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
