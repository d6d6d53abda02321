"""A disk of 256 MiB filled to its end, with reads, deletes and the way back.

It is an ext4 on a loop device, or a tmpfs where loop devices are not to be had; both need the right to mount.
"""

import argparse
import hashlib
import json

from . import server
from .checks import Checks, not_run, say, wait_until
from .disk import Disk
from .server import Server

SIZE = 256 * 1024 * 1024
VALUE = 1024 * 1024
BALLAST = 100 * 1024 * 1024


def value(number):
    return hashlib.sha256(str(number).encode()).digest() * (VALUE // 32)


def code(answer):
    try:
        return json.loads(answer.body).get("code")
    except ValueError:
        return None


def fill_by_puts(checks, client, stored):
    """PUTs until one is refused; each acknowledged number goes to `stored`."""
    number = max(stored, default=-1) + 1
    while number < 2 * SIZE // VALUE:
        answer = client.put(f"disk/{number}", value(number), "application/octet-stream")
        if answer.status != 201:
            checks.equal((answer.status, code(answer)), (507, "disk_full"), f"PUT {number} of 1 MiB, when the disk is full")
            return
        stored.add(number)
        number += 1
    checks.check(False, "the disk never became full")


def all_there(checks, client, stored, what):
    wrong = [number for number in sorted(stored) if client.get(f"disk/{number}").body != value(number)]
    checks.check(not wrong, f"{what}: {len(stored)} acknowledged values are identical" + (f", but not {wrong[:5]}" if wrong else ""))


def put_works_again(checks, client, what):
    def accepted():
        return client.put("disk/again", value("again"), "text/plain").status in (201, 204)

    try:
        wait_until(accepted, 60, "a PUT is accepted again")
        checks.check(True, f"{what}: PUT works again by itself")
    except TimeoutError as error:
        checks.check(False, f"{what}: {error}")


class Trial:
    """One service on a small disk, its client, and what it acknowledged."""

    def __init__(self, checks, disk):
        self.checks, self.disk = checks, disk
        self.data = server.fresh(disk.mount / "data")
        self.stored = set()
        self.target = None

    def start(self):
        self.target = Server(self.data)
        self.client = self.target.client()

    def take_all_space(self):
        self.disk.fill("filler")

    def give_space_back(self):
        for name in ("filler", "ballast"):
            (self.disk.mount / name).unlink(missing_ok=True)

    def full_but_alive(self, what):
        """Refuses to grow, goes on with the rest."""
        checks, client = self.checks, self.client
        checks.equal(client.put("disk/more", value(0)).status, 507, f"{what}: PUT with not a byte free")
        all_there(checks, client, self.stored, what)
        checks.equal(client.get("absent").status, 404, f"{what}: GET of an absent key")
        gone = min(self.stored)
        checks.equal(client.delete(f"disk/{gone}").status, 204, f"{what}: DELETE")
        self.stored.discard(gone)
        checks.equal(client.get(f"disk/{gone}").status, 404, f"{what}: GET of what was deleted")
        checks.equal(client.request("GET", "/livez").status, 200, f"{what}: /livez")

    def run(self):
        checks = self.checks
        # Another program's file, so that space can come back later.
        with open(self.disk.mount / "ballast", "wb") as ballast:
            ballast.write(bytes(BALLAST))
        self.start()
        before = self.target.resident_bytes()
        fill_by_puts(checks, self.client, self.stored)
        say(f"{len(self.stored)} values of 1 MiB beside {BALLAST >> 20} MiB, {self.disk.free()} bytes free")
        self.take_all_space()
        self.full_but_alive("full")
        grown = self.target.resident_bytes() - before - len(self.stored) * VALUE
        checks.check(grown < 64 * 1024 * 1024, f"resident memory beyond the values grew by {grown / 1e6:.0f} MB")
        self.give_space_back()
        put_works_again(checks, self.client, "space is back")
        all_there(checks, self.client, self.stored, "space is back")

        # Again, and this time the service is killed while the disk is full, and starts on it.
        self.take_all_space()
        fill_by_puts(checks, self.client, self.stored)
        self.full_but_alive("full again")
        self.target.kill()
        self.start()
        # A start gives up segments that held nothing, so that there may be room for a little more.
        fill_by_puts(checks, self.client, self.stored)
        self.full_but_alive("started on a full disk")
        self.give_space_back()
        put_works_again(checks, self.client, "space is back after a start")
        self.target.kill()
        self.start()
        all_there(checks, self.client, self.stored, "started again")
        checks.equal(self.client.get("disk/again").body == value("again"), True, "what was PUT after the disk had been full is there")
        checks.ends_well(self.target)
        if checks.failed:
            say("the server's log ends:\n" + self.target.whole_log()[-3000:])

    def close(self):
        if self.target and self.target.process.poll() is None:
            self.target.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["ext4", "tmpfs", "any"], default="any")
    options = parser.parse_args()
    checks = Checks()
    kinds = ["ext4", "tmpfs"] if options.kind == "any" else [options.kind]
    reasons = []
    for kind in kinds:
        disk = Disk(kind, SIZE)
        try:
            if disk.mounted:
                say(f"on {kind}")
                trial = Trial(checks, disk)
                try:
                    trial.run()
                finally:
                    trial.close()
                checks.finish()
            reasons.append(f"{kind}: {disk.why}")
        finally:
            disk.close()
    not_run("the full disk, because none could be mounted here (" + "; ".join(reasons) + ")")
    print("0 passed, 0 failed")


if __name__ == "__main__":
    main()
