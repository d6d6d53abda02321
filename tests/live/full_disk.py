"""A disk of 256 MiB filled to its end, with reads, deletes and the way back.

It is an ext4 on a loop device, or a tmpfs where loop devices are not to be had; both need the right to mount.
"""

import argparse
import hashlib
import json
import pathlib

from . import server
from .checks import Checks, not_run, say, wait_until
from .disk import Disk
from .server import Server

SIZE = 256 * 1024 * 1024
VALUE = 1024 * 1024


def value(number):
    return hashlib.sha256(str(number).encode()).digest() * (VALUE // 32)


def code(answer):
    try:
        return json.loads(answer.body).get("code")
    except ValueError:
        return None


def fill_by_puts(checks, client, stored):
    """PUTs until one is refused; each acknowledged number goes to `stored`."""
    number = len(stored)
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
        return client.put("disk/again", b"space is back", "text/plain").status in (201, 204)

    try:
        wait_until(accepted, 60, "a PUT is accepted again")
        checks.check(True, f"{what}: PUT works again by itself")
    except TimeoutError as error:
        checks.check(False, f"{what}: {error}")


def run_on(checks, disk, kind):
    data, filler = server.fresh(disk.mount / "data"), disk.mount / "filler"
    stored = set()
    target = Server(data, wait=True)
    try:
        client = target.client()
        before = target.resident_bytes()
        fill_by_puts(checks, client, stored)
        say(f"{kind}: {len(stored)} values of 1 MiB on a disk of 256 MiB, {disk.free()} bytes free")
        disk.fill()
        checks.equal(client.put("disk/more", value(0)).status, 507, "PUT with not a byte free")
        all_there(checks, client, stored, "full")
        checks.equal(client.get("absent").status, 404, "GET of an absent key on a full disk")
        gone = min(stored)
        checks.equal(client.delete(f"disk/{gone}").status, 204, "DELETE on a full disk")
        stored.discard(gone)
        checks.equal(client.get(f"disk/{gone}").status, 404, "GET of what was deleted")
        checks.equal(client.request("GET", "/livez").status, 200, "/livez on a full disk")
        grown = target.resident_bytes() - before - len(stored) * VALUE
        checks.check(grown < 64 * 1024 * 1024, f"resident memory beyond the values grew by {grown / 1e6:.0f} MB")

        # A start on the full disk serves what is there.
        target.kill()
        target = Server(data, wait=True)
        client = target.client()
        all_there(checks, client, stored, "started on a full disk")
        checks.equal(client.get(f"disk/{gone}").status, 404, "the delete survived kill -9 on a full disk")
        checks.equal(client.put("disk/more", value(0)).status, 507, "PUT after a start on a full disk")

        # Space comes back from outside.
        filler.unlink()
        for number in sorted(stored)[: len(stored) // 2]:
            answer = client.delete(f"disk/{number}")
            stored.discard(number)
            if answer.status != 204:
                checks.equal(answer.status, 204, f"DELETE disk/{number} to make space")
                break
        put_works_again(checks, client, "with the filler gone and half the values deleted")
        target.kill()
        target = Server(data, wait=True)
        client = target.client()
        all_there(checks, client, stored, "started again")
        checks.equal(client.get("disk/again").body, b"space is back", "what was PUT after the disk had been full")
        checks.equal(target.stop(), 0, "exit status of a stop")
        log = pathlib.Path(target.log_path).read_text("utf-8", "replace")
        checks.check("panicked" not in log, "no panic in the server's log")
        if checks.failed:
            say("the server's log ends:\n" + log[-3000:])
    finally:
        if target.process.poll() is None:
            target.kill()


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
                run_on(checks, disk, kind)
                checks.finish()
            reasons.append(f"{kind}: {disk.why}")
        finally:
            disk.close()
    not_run("the full disk, because none could be mounted here (" + "; ".join(reasons) + ")")
    print("0 passed, 0 failed")


if __name__ == "__main__":
    main()
