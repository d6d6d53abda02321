"""Real files in, crash, the same files out; then the same through `export` and `import`.

What is taken: the regular files below the trees of TREES that exist here, up to LARGEST bytes each and with UTF-8 names,
sorted; of each class (text, image, archive, other) an even sample, so that the number asked for is reached with as equal
shares as the trees allow. The choice depends on the machine's files alone, and the programme says what it took.
"""

import argparse
import hashlib
import mimetypes
import os
import pathlib
import shutil
import subprocess
import threading

from . import server
from .checks import Checks, say
from .server import Server

CONNECTIONS = 32
LARGEST = 16 * 1024 * 1024
ARCHIVE_TYPES = {
    "application/gzip", "application/x-bzip2", "application/x-xz", "application/zip", "application/x-tar",
    "application/java-archive", "application/vnd.debian.binary-package", "application/zstd",
}
ENCODINGS = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def trees():
    """(label, folder): the installed Rust documentation first, then what any Debian machine has."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False).stdout.strip()
    cargo_home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    candidates = [
        ("rust-doc", pathlib.Path(sysroot or "/nonexistent") / "share" / "doc"),
        ("crates", pathlib.Path(cargo_home) / "registry" / "cache"),
        ("share-doc", pathlib.Path("/usr/share/doc")),
        ("icons", pathlib.Path("/usr/share/icons")),
        ("pixmaps", pathlib.Path("/usr/share/pixmaps")),
        ("fonts", pathlib.Path("/usr/share/fonts")),
        ("man", pathlib.Path("/usr/share/man")),
        ("python", pathlib.Path("/usr/lib/python3")),
    ]
    return [(label, path) for label, path in candidates if path.is_dir()]


def media_type(name):
    kind, encoding = mimetypes.guess_type(name)
    if name.endswith(".crate"):
        return "application/gzip"
    if encoding:
        return ENCODINGS.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"


def class_of(kind):
    if kind in ARCHIVE_TYPES:
        return "archive"
    if kind.startswith("image/"):
        return "image"
    if kind.startswith("text/") or kind in ("application/javascript", "application/json", "application/xml"):
        return "text"
    return "other"


class File:
    __slots__ = ("key", "path", "size", "kind", "digest")

    def __init__(self, key, path, size, kind):
        self.key, self.path, self.size, self.kind = key, path, size, kind
        self.digest = None

    def bytes(self):
        """The file as it was when it was first read: one that changes meanwhile would spoil the comparison."""
        data = self.path.read_bytes()
        digest = hashlib.sha256(data).digest()
        if self.digest is None:
            self.digest = digest
        if digest != self.digest:
            raise RuntimeError(f"{self.path} changed while the test ran")
        return data


def found_files():
    skipped = 0
    for label, tree in trees():
        for folder, folders, names in os.walk(tree):
            folders.sort()
            for name in sorted(names):
                path = pathlib.Path(folder) / name
                try:
                    key = f"{label}/{path.relative_to(tree).as_posix()}"
                    fits = len(key.encode("utf-8")) <= 1024
                    if path.is_symlink() or not path.is_file() or not fits or path.stat().st_size > LARGEST:
                        skipped += 1
                        continue
                    path.open("rb").close()
                except (UnicodeEncodeError, OSError):
                    skipped += 1
                    continue
                yield File(key, path, path.stat().st_size, media_type(name))
    if skipped:
        say(f"left out: {skipped} links, unreadable or oversized files, or names that are not UTF-8")


def even_sample(items, count):
    if count >= len(items):
        return items
    return [items[index * len(items) // count] for index in range(count)]


def choose(count):
    """`count` files with as equal shares of each class as there are files for."""
    classes = {}
    for file in found_files():
        classes.setdefault(class_of(file.kind), []).append(file)
    taken, left = [], count
    by_size = sorted(classes.items(), key=lambda item: len(item[1]))
    for position, (name, files) in enumerate(by_size):
        sample = even_sample(files, left // (len(by_size) - position))
        left -= len(sample)
        taken += sample
        say(f"{name}: {len(sample)} of {len(files)} files, {sum(file.size for file in sample) / 1e6:.1f} MB")
    say("from " + ", ".join(str(path) for _, path in trees()))
    # Mixed, and the same on each run of the same machine.
    return sorted(taken, key=lambda file: hashlib.sha256(file.key.encode()).digest())


def each(files, work):
    """Runs work(client-less index, file) over all files on CONNECTIONS threads; the first exception is raised."""
    queue = iter(files)
    lock = threading.Lock()
    errors = []

    def worker():
        state = {}
        while not errors:
            with lock:
                file = next(queue, None)
            if file is None:
                return
            try:
                if not work(state, file):
                    return
            except Exception as error:  # carried to the main thread
                errors.append(error)
                return

    threads = [threading.Thread(target=worker) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def upload(target, files, acknowledged, kill_after=None):
    """PUTs all files; with `kill_after` the server is killed once that many were acknowledged, others still in flight."""
    lock = threading.Lock()
    killed = threading.Event()

    def put(state, file):
        client = state.setdefault("client", None) or target.client()
        state["client"] = client
        data = file.bytes()
        try:
            answer = client.put(file.key, data, file.kind)
        except ConnectionError:
            if killed.is_set():
                return False
            raise
        if answer.status not in (201, 204):
            raise RuntimeError(f"PUT {file.key}: {answer.status} {answer.body[:200]!r}")
        with lock:
            acknowledged.add(file.key)
            due = kill_after is not None and len(acknowledged) >= kill_after and not killed.is_set()
            if due:
                killed.set()
        if due:
            target.kill()
        return not killed.is_set()

    each(files, put)


def verify(checks, target, files, acknowledged, what):
    """Each acknowledged file is identical; any other is absent or identical. Returns what is there."""
    lost, wrong, present = [], [], set()
    lock = threading.Lock()

    def get(state, file):
        client = state.setdefault("client", None) or target.client()
        state["client"] = client
        answer = client.get(file.key)
        with lock:
            if answer.status == 404:
                if file.key in acknowledged:
                    lost.append(file.key)
            elif answer.status != 200 or answer.body != file.bytes() or answer.header("Content-Type") != file.kind:
                wrong.append(f"{file.key}: {answer.status}, {len(answer.body)} of {file.size} bytes, {answer.header('Content-Type')} of {file.kind}")
            else:
                present.add(file.key)
        return True

    each(files, get)
    for line in (lost + wrong)[:10]:
        say(line)
    extra = len(present - acknowledged)
    note = f" ({extra} more had arrived without an answer, whole)" if extra else ""
    checks.check(not lost, f"{what}: none of {len(acknowledged)} acknowledged files is lost")
    checks.check(not wrong, f"{what}: {len(present)} files are byte-identical with their media type{note}")
    return present


def through_export(checks, data, copy, files, acknowledged):
    dump = copy.with_suffix(".ndjson")
    with open(dump, "wb") as out:
        exported = server.run("export", "--data", data, stdout=out)
    checks.equal(exported.returncode, 0, "export's exit status")
    with open(dump, "rb") as dumped:
        imported = server.run("import", "--data", copy, stdin=dumped)
    if not checks.equal(imported.returncode, 0, "import's exit status"):
        say(imported.stderr.decode("utf-8", "replace")[-1000:])
    dump.unlink()
    with Server(copy) as target:
        verify(checks, target, files, acknowledged, "after export and import")
        checks.ends_well(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000)
    options = parser.parse_args()
    checks = Checks()
    data, copy = server.fresh("real-input"), server.fresh("real-input-copy")
    files = choose(options.files)
    checks.check(len(files) >= min(options.files, 1000), f"{len(files)} files, {sum(file.size for file in files) / 1e6:.0f} MB")

    acknowledged = set()
    with Server(data) as target:
        upload(target, files, acknowledged, kill_after=len(files) // 2)
    say(f"killed with {len(acknowledged)} acknowledged")
    with Server(data) as target:
        acknowledged |= verify(checks, target, files, acknowledged, "after a kill -9 in the middle")
        upload(target, [file for file in files if file.key not in acknowledged], acknowledged)
        target.kill()
    checks.equal(len(acknowledged), len(files), "files acknowledged in all")
    with Server(data) as target:
        verify(checks, target, files, acknowledged, "after a kill -9 at the end")
        checks.ends_well(target)
    through_export(checks, data, copy, files, acknowledged)
    for folder in (data, copy):
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
