"""A mirror whose disk of 128 MiB is full: what it follows is served and announced, and stored when there is space again.

Its upstream is another process with room enough. The small disk is an ext4 on a loop device, or a tmpfs; both need the right to
mount.
"""

import json
import threading

from . import server
from .checks import Checks, not_run, say, wait_until
from .disk import Disk
from .full_disk import code
from .server import Server

SIZE = 128 * 1024 * 1024
BALLAST = 40 * 1024 * 1024
VALUE = 1024 * 1024
KEYS = 40

CONFIG = """
log: {{ segment_bytes: 8MiB }}
keyspaces:
  copy:
    durability: synced
    mirror:
      standpipe: {{ endpoint: 'http://127.0.0.1:{port}' }}
      backoff_min: 50ms
      backoff_max: 1s
"""


class Followed:
    """A watch of the copy, read on a thread of its own: the values that were told, and the ids that came with them."""

    def __init__(self, client):
        self.told = []
        self.response = None
        client.connection.request("GET", "/keyspaces/copy/watch?values=true")
        self.response = client.connection.getresponse()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        block = {}
        for line in self.response:
            line = line.decode().rstrip("\n")
            if not line:
                if "data" in block and block.get("event") in ("put", "delete"):
                    data = json.loads(block["data"])
                    self.told.append((block["event"], data["key"], data.get("value"), "id" in block))
                block = {}
            elif ":" in line[1:]:
                name, value = line.split(":", 1)
                block[name] = value.strip()


def mirror(client):
    return json.loads(client.request("GET", "/mirrors").body)["items"][0]


def copied(client, key):
    answer = client.request("GET", f"/keyspaces/copy/keys/{key}")
    return answer.body.decode() if answer.status == 200 else None


def fill(client):
    """PUTs until not even one of a byte is taken."""
    for size in (VALUE, 32 * 1024, 1024, 32, 1):
        number = 0
        while True:
            answer = client.put(f"disk/{size}/{number}", bytes([number % 251]) * size, "application/octet-stream")
            if answer.status != 201:
                break
            number += 1
    return answer


def run(checks, disk):
    upstream = Server(server.fresh("mirror-upstream"))
    original = upstream.client()
    for number in range(KEYS):
        original.put(f"key/{number}", f"old {number}")
    config = server.CACHE / "mirror.yml"
    config.write_text(CONFIG.format(port=upstream.port))
    with open(disk.mount / "ballast", "wb") as ballast:
        ballast.write(bytes(BALLAST))
    data = server.fresh(disk.mount / "data")

    def start():
        return Server(data, arguments=("-c", config))

    copy = start()
    client = copy.client()
    wait_until(lambda: mirror(client)["state"] == "following", 30, "the mirror follows")
    watch = Followed(copy.client(timeout=None))
    full = fill(client)
    checks.equal((full.status, code(full)), (507, "disk_full"), "a PUT beside the mirror, when the disk is full")
    disk.fill("filler")

    for number in range(KEYS):
        original.put(f"key/{number}", f"new {number}")
    original.delete("key/0")
    everything_new = lambda: copied(client, "key/0") is None and all(
        copied(client, f"key/{number}") == f"new {number}" for number in range(1, KEYS)
    )
    wait_until(everything_new, 30, "every update is served")
    checks.check(True, f"{KEYS} updates and a deletion are served while not a byte is free")
    shown = mirror(client)
    checks.equal((shown["state"], shown["stale"]), ("following", False), "the stream goes on")
    checks.check(shown["unstored"] > 0, f"/mirrors says how many are not stored: {shown['unstored']}")
    listed = json.loads(client.request("GET", "/keyspaces/copy/keys?limit=1000").body)
    checks.equal(len(listed["items"]), KEYS - 1, "keys that are listed")

    def announced():
        return {key: value for event, key, value, _ in watch.told if event == "put" and value.startswith("new")}

    wait_until(lambda: len(announced()) == KEYS, 30, "every update is announced")
    checks.check(any(not has_id for event, _, _, has_id in watch.told if event == "put"), "updates are announced without an id")

    for name in ("filler", "ballast"):
        (disk.mount / name).unlink(missing_ok=True)
    wait_until(lambda: mirror(client)["unstored"] == 0, 60, "everything is stored")
    checks.check(True, "space is back: everything is stored by itself")
    original.put("key/1", "newest")
    wait_until(lambda: copied(client, "key/1") == "newest", 30, "an update after that")
    upstream.kill()
    copy.kill()
    copy = start()
    client = copy.client()
    kept = all(copied(client, f"key/{number}") == f"new {number}" for number in range(2, KEYS))
    checks.check(kept and copied(client, "key/0") is None, "after kill -9, without the upstream, everything is there")
    status = client.request("GET", "/keyspaces/copy/keys/key/1").header("Cache-Status")
    checks.check("stale" in status, f"and is said to be stale: {status}")
    checks.ends_well(copy)
    if checks.failed:
        say("the mirror's log ends:\n" + copy.whole_log()[-3000:])


def main():
    checks = Checks()
    reasons = []
    for kind in ("ext4", "tmpfs"):
        disk = Disk(kind, SIZE)
        try:
            if disk.mounted:
                say(f"on {kind}")
                run(checks, disk)
                checks.finish()
            reasons.append(f"{kind}: {disk.why}")
        finally:
            disk.close()
    not_run("a mirror on a full disk, because none could be mounted here (" + "; ".join(reasons) + ")")
    print("0 passed, 0 failed")


if __name__ == "__main__":
    main()
