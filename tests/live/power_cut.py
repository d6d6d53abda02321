"""Power cuts on a real file system: ext4 and XFS on a loop device, shut down under load, mounted again, audited.

The load and the audit are those of `crashes`; here also the kernel's page cache is lost. Half of the cuts let the file
system's journal reach the disk, half do not.
"""

import argparse
import random
import time

from . import server
from .checks import Checks, not_run, say
from .crashes import SETTINGS, WORKERS, Round, Worker, audit
from .disk import Disk
from .server import Server

# XFS wants at least 300 MB.
SIZE = 512 * 1024 * 1024


def cut_again_and_again(checks, disk, cuts, seed):
    workers = [Worker(number, f"{seed}/{disk.kind}") for number in range(WORKERS)]
    chance = random.Random(f"{seed}/{disk.kind}/chance")
    data = server.fresh(disk.mount / "data")
    for cut in range(cuts + 1):
        with Server(data, SETTINGS) as target:
            audit(checks, target, workers, f"{disk.kind}, after {cut} cuts")
            if cut == cuts:
                checks.ends_well(target)
                return
            rounds = Round(target, workers, f"{seed}/{cut}")
            rounds.begin()
            time.sleep(chance.uniform(0.1, 1.2))
            rounds.stopping = True
            flush_journal = bool(cut % 2)
            checks.check(disk.cut_power(flush_journal), f"power cut {cut + 1} {'with' if flush_journal else 'without'} the journal, after {rounds.acknowledged} answers {disk.why}")
            # What the service says now must not be a promise: the threads go on until it refuses or ends.
            time.sleep(0.2)
            target.kill()
            rounds.end()
            checks.check(not rounds.errors, "nothing unexpected before the cut" + "".join(f"; {error}" for error in rounds.errors[:3]))
        checks.check(disk.detach() and disk.attach(), f"mounted again {disk.why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--kind", choices=["ext4", "xfs"], action="append")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    say(f"seed {options.seed}")
    checks = Checks()
    for kind in options.kind or ["ext4", "xfs"]:
        disk = Disk(kind, SIZE)
        try:
            if disk.mounted:
                cut_again_and_again(checks, disk, options.cuts, options.seed)
            else:
                not_run(f"power cuts on {kind}: {disk.why}")
        finally:
            disk.close()
    checks.finish()


if __name__ == "__main__":
    main()
