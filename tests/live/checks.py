"""Counting: each check is printed as it is made, and the last line is `N passed, N failed`."""

import sys
import time


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.began = time.monotonic()

    def check(self, holds, what):
        """Counts one check and says it; returns whether it held."""
        if holds:
            self.passed += 1
            print(f"ok      {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {what}", flush=True)
        return bool(holds)

    def equal(self, actual, expected, what):
        return self.check(actual == expected, f"{what}: {actual!r}" + ("" if actual == expected else f", expected {expected!r}"))

    def ends_well(self, target):
        """Stops a server: it ends as it should, and nothing on its directory has ever panicked."""
        self.equal(target.stop(), 0, "exit status of a stop")
        self.check("panicked" not in target.whole_log(), "no panic in the server's log")

    def finish(self):
        print(f"(took {time.monotonic() - self.began:.1f} s)")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.failed == 0 and self.passed > 0 else 1)


def say(text):
    print(f"        {text}", flush=True)


def not_run(why):
    """For what this machine cannot do; `tests/run` repeats the line at its end."""
    print(f"NOT RUN: {why}", flush=True)


def wait_until(condition, seconds, what):
    """Polls until the condition returns something true, and returns that; raises at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.01)
