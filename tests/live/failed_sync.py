"""System calls of the running service made to fail by strace: a failed sync is never retried into a false success.

strace is attached to the running process, so that its start is left alone and the next call of the log is the one that fails.
"""

import argparse
import json
import pathlib
import shutil
import signal
import subprocess

from . import server
from .checks import Checks, not_run, say, wait_until
from .server import Server


class Injection:
    """strace attached to a server with one `inject=`; `attached` is False where the machine forbids that."""

    def __init__(self, target, expression):
        calls = expression.split(":")[0]
        self.path = server.CACHE / "strace.log"
        self.process = subprocess.Popen(
            ["strace", "-f", "-p", str(target.pid), "-e", f"trace={calls}", "-e", f"inject={expression}", "-o", self.path],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        # strace says "attached" on its standard error once, for each thread it has.
        line = self.process.stderr.readline()
        self.attached = "attached" in line
        self.why = line.strip()
        if self.attached:
            wait_until(lambda: all_traced(target.pid, self.process.pid), 10, "strace holds every thread")

    def detach(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def injected(self):
        text = self.path.read_text("utf-8", "replace") if self.path.exists() else ""
        return text.count("(INJECTED)")


def all_traced(pid, tracer):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if f"TracerPid:\t{tracer}\n" not in (task / "status").read_text():
            return False
    return True


def problem(answer):
    try:
        return answer.status, json.loads(answer.body).get("code")
    except ValueError:
        return answer.status, None


def poisons(checks, expression, what):
    """One call fails for good: 503 durability_lost, exit 74, and everything promised is there after the next start."""
    data = server.fresh("failed-sync")
    with Server(data) as target:
        client = target.client()
        checks.equal(client.put("before", b"kept").status, 201, "PUT before the failure")
        injection = Injection(target, expression)
        if not injection.attached:
            not_run(f"{what}: {injection.why}")
            injection.detach()
            return
        try:
            try:
                answered = problem(client.put("during", b"never promised"))
                checks.equal(answered, (503, "durability_lost"), f"{what}: PUT whose write fails")
            except ConnectionError as error:
                checks.check(False, f"{what}: the PUT got no answer: {error}")
            try:
                status = target.process.wait(30)
                checks.equal(status, 74, f"{what}: exit status of the service")
            except subprocess.TimeoutExpired:
                checks.check(False, f"{what}: the service did not end within 30 s")
        finally:
            injection.detach()
        checks.check(injection.injected() >= 1, f"{what}: {injection.injected()} calls were made to fail")
    with Server(data) as target:
        client = target.client()
        checks.equal(client.get("before").body, b"kept", f"{what}: what was promised is there after a start")
        during = client.get("during")
        checks.check(during.status == 404 or during.body == b"never promised", f"{what}: what was refused is absent or whole ({during.status})")
        checks.equal(client.put("after", b"new").status, 201, f"{what}: PUT after a start")
        checks.equal(target.stop(), 0, f"{what}: exit status of a stop")


def passes_over(checks, expression, what):
    """The same bytes at the same place again: a short lack of space is waited through, and nothing is lost."""
    data = server.fresh("failed-sync")
    with Server(data) as target:
        client = target.client()
        checks.equal(client.put("before", b"kept").status, 201, "PUT before the failure")
        injection = Injection(target, expression)
        if not injection.attached:
            not_run(f"{what}: {injection.why}")
            injection.detach()
            return
        checks.equal(client.put("during", b"waited for").status, 201, f"{what}: PUT while the call fails")
        injection.detach()
        checks.check(injection.injected() >= 1, f"{what}: {injection.injected()} calls were made to fail")
        target.kill()
    with Server(data) as target:
        checks.equal(target.client().get("during").body, b"waited for", f"{what}: what was answered is there after kill -9")
        checks.equal(target.stop(), 0, f"{what}: exit status of a stop")


def start_refused(checks):
    """A start that cannot sync what it is about to trust refuses, with 74."""
    data = server.fresh("failed-sync")
    with Server(data) as target:
        checks.equal(target.client().put("before", b"kept").status, 201, "PUT before the failing start")
        target.kill()
    wrapper = ["strace", "-f", "-qq", "-o", str(server.CACHE / "strace.log"), "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"]
    with Server(data, wait=False, wrapper=wrapper) as target:
        try:
            checks.equal(target.process.wait(60), 74, "exit status of a start whose syncs fail")
        except subprocess.TimeoutExpired:
            checks.check(False, "a start whose syncs fail did not end within 60 s")
    with Server(data) as target:
        checks.equal(target.client().get("before").body, b"kept", "the value after the failed start")
        checks.ends_well(target)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checks = Checks()
    probe = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        not_run("failing system calls, because strace may not trace here: " + probe.stderr.strip())
        print("0 passed, 0 failed")
        return
    poisons(checks, "fdatasync:error=EIO:when=1", "fdatasync fails once")
    poisons(checks, "pwritev,pwrite64,pwritev2:error=EIO", "pwritev fails")
    passes_over(checks, "pwritev,pwrite64,pwritev2:error=ENOSPC:when=1..3", "pwritev meets ENOSPC three times")
    start_refused(checks)
    shutil.rmtree(server.CACHE / "failed-sync", ignore_errors=True)
    say("strace's own log is tests/.cache/strace.log")
    checks.finish()


if __name__ == "__main__":
    main()
