"""A small file system of its own: ext4 or XFS on a loop device, or a tmpfs. All of them need the right to mount."""

import os
import shutil
import subprocess

from . import server


class Disk:
    """Made, mounted at `mount`; `mounted` is False where this machine forbids it, and `why` says why."""

    def __init__(self, kind, size):
        self.kind, self.size = kind, size
        self.image = server.CACHE / f"disk-{kind}.img"
        self.mount = server.CACHE / f"disk-{kind}"
        self.close()  # what an aborted run left
        self.mount.mkdir(parents=True, exist_ok=True)
        self.why = ""
        self.mounted = self.make() and self.attach()

    def command(self, *arguments):
        try:
            done = subprocess.run([str(word) for word in arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            self.why = str(error)
            return False
        self.why = done.stderr.strip()
        return done.returncode == 0

    def make(self):
        if self.kind == "tmpfs":
            return True
        with open(self.image, "wb") as image:
            image.truncate(self.size)
        force = "-F" if self.kind == "ext4" else "-f"
        return self.command(f"mkfs.{self.kind}", "-q", force, self.image)

    def attach(self):
        if self.kind == "tmpfs":
            return self.command("mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.mount)
        return self.command("mount", "-o", "loop", self.image, self.mount)

    def detach(self):
        return self.command("umount", self.mount)

    def cut_power(self, flush_journal):
        """All that was not synced is gone; with `flush_journal` the file system's own journal still reaches the disk."""
        return self.command("xfs_io", "-x", "-c", "shutdown -f" if flush_journal else "shutdown", self.mount)

    def free(self):
        facts = os.statvfs(self.mount)
        return facts.f_bavail * facts.f_frsize

    def fill(self, name="filler"):
        """Another program's file takes all that is left."""
        taken = 0
        with open(self.mount / name, "ab", buffering=0) as filler:
            for size in (1024 * 1024, 4096, 512):
                block = os.urandom(size)
                while True:
                    try:
                        taken += filler.write(block)
                    except OSError:
                        break
        return taken

    def close(self):
        if os.path.ismount(self.mount):
            self.detach()
        self.image.unlink(missing_ok=True)
        if not os.path.ismount(self.mount):
            shutil.rmtree(self.mount, ignore_errors=True)
