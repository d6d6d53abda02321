"""What a careless or hostile client does. After each: the right answer, bounded memory, and the next PUT is 201."""

import argparse
import gzip
import json
import shutil
import socket
import threading
import time

from . import server
from .checks import Checks, say, wait_until
from .server import Server

MIB = 1024 * 1024
GROWTH = 64 * MIB
# Shorter than the defaults, so that the test does not wait them out.
SETTINGS = {"limits.body_stall": "1s", "limits.read_stall": "2s"}


class Trial:
    def __init__(self, checks, target):
        self.checks, self.target = checks, target
        self.count = 0

    def raw(self, request, timeout=20):
        """Sends bytes as they are and returns everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.target.port), timeout=timeout) as connection:
            connection.sendall(request)
            return read_to_end(connection)

    def after(self, what, before):
        """The two things that hold after every trial."""
        self.count += 1
        try:
            wait_until(lambda: self.target.resident_bytes() - before < GROWTH, 10, "memory is given back")
        except TimeoutError:
            pass
        grown = self.target.resident_bytes() - before
        self.checks.check(grown < GROWTH, f"{what}: resident memory grew by {grown / MIB:.1f} MiB")
        client = self.target.client()
        self.checks.equal(client.put(f"after/{self.count}", b"fine").status, 201, f"{what}: the next PUT")
        client.close()

    def run(self, work):
        before = self.target.resident_bytes()
        work(self)
        self.after(work.__doc__.split("\n")[0].rstrip("."), before)


def read_to_end(connection):
    parts = []
    try:
        while True:
            part = connection.recv(65536)
            if not part:
                break
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


def status_of(answer):
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 2 and words[1].isdigit() else None


def code_of(answer):
    body = answer.split(b"\r\n\r\n", 1)[-1]
    try:
        return json.loads(body[body.index(b"{"):body.rindex(b"}") + 1]).get("code")
    except ValueError:
        return None


def too_large(trial):
    """A PUT of 17 MiB."""
    answer = trial.raw(b"PUT /v1/big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (17 * MIB))
    trial.checks.equal((status_of(answer), code_of(answer)), (413, "value_too_large"), "17 MiB, refused by its Content-Length before a byte of it")
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    with socket.create_connection(("127.0.0.1", trial.target.port), timeout=20) as connection:
        try:
            connection.sendall(b"PUT /v1/big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(17 * 16):
                connection.sendall(chunk)
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # refused in the middle, which is right
        answer = read_to_end(connection)
    trial.checks.check(status_of(answer) in (413, None), f"17 MiB in chunks of unknown length: {status_of(answer)}")
    client = trial.target.client()
    trial.checks.equal(client.request("HEAD", "/v1/big").status, 404, "nothing of it is stored")


def stalled_body(trial):
    """A body that stops."""
    began = time.monotonic()
    answer = trial.raw(b"PUT /v1/stalled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this")
    trial.checks.equal((status_of(answer), code_of(answer)), (408, "body_stalled"), f"after {time.monotonic() - began:.1f} s")
    trial.checks.equal(trial.target.client().get("stalled").status, 404, "nothing of it is stored")


def stopped_reader(trial):
    """Readers of a large value that stop."""
    client = trial.target.client()
    client.put("large", bytes(16 * MIB))
    readers = []
    for _ in range(16):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", trial.target.port))
        connection.sendall(b"GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        readers.append(connection)

    def cut(connection):
        # A cut connection has an error or an end behind what its buffers hold; an uncut one would give all 16 MiB.
        return len(read_to_end(connection)) < 16 * MIB

    def server_side():
        """Connections to these readers that the server still holds."""
        ports = {connection.getsockname()[1] for connection in readers}
        held = 0
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in list(table)[1:]:
                fields = line.split()
                local, remote, state = fields[1], fields[2], fields[3]
                if int(local.split(":")[1], 16) == trial.target.port and int(remote.split(":")[1], 16) in ports and state == "01":
                    held += 1
        return held

    try:
        wait_until(lambda: server_side() == 0, 20, "stopped readers are cut")
        trial.checks.check(True, "16 readers that stopped are cut")
    except TimeoutError:
        trial.checks.check(False, f"{server_side()} of 16 readers that stopped are still held after 20 s")
    for connection in readers:
        connection.settimeout(10)
    trial.checks.check(all(cut(connection) for connection in readers), "none of them got the whole value")
    client.delete("large")


def gzip_bomb(trial):
    """A gzip bomb with Content-Encoding: gzip."""
    bomb = gzip.compress(bytes(200 * MIB), 9)
    client = trial.target.client()
    answer = client.put("bomb", bomb, "text/plain", headers={"Content-Encoding": "gzip"})
    trial.checks.equal(answer.status, 201, f"a PUT of {len(bomb)} bytes that would be 200 MiB")
    back = client.get("bomb")
    trial.checks.check(back.body == bomb and back.header("Content-Encoding") == "gzip", "it comes back as it came, with its encoding")


def bad_key(trial):
    """A key that is not UTF-8."""
    for path in (b"/v1/%ff", b"/v1/%zz", b"/v1/%", b"/v1/"):
        answer = trial.raw(b"PUT " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        trial.checks.equal((status_of(answer), code_of(answer)), (400, "invalid_key"), f"PUT {path.decode()}")
    answer = trial.raw(b"GET /v1/" + b"k" * 1025 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    trial.checks.equal((status_of(answer), code_of(answer)), (400, "key_too_long"), "a key of 1,025 bytes")


def two_lengths(trial):
    """Two Content-Length headers."""
    answer = trial.raw(b"PUT /v1/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
    trial.checks.equal(status_of(answer), 400, "refused")
    trial.checks.check(b"problem+json" not in answer, "by the parser: no problem document")
    trial.checks.equal(trial.target.client().get("smuggled").status, 404, "nothing of it is stored")


def another_origin(trial):
    """A page of another origin."""
    client = trial.target.client()
    client.put("precious", b"kept")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        for method, path in (("POST", "/flush"), ("DELETE", "/flush"), ("PUT", "/v1/precious"), ("DELETE", "/v1/precious"), ("POST", "/admin/snapshot")):
            answer = client.request(method, path, b"", headers)
            shown = (answer.status, json.loads(answer.body or b"{}").get("code"))
            trial.checks.equal(shown, (403, "cross_site"), f"{method} {path} with {headers}")
    answer = client.request("GET", "/v1/precious", headers={"Host": "rebound.example"})
    trial.checks.equal(answer.status, 421, "a GET for another Host on a loopback address")
    trial.checks.equal(client.get("precious").body, b"kept", "what was stored")


def many_connections(trial):
    """Half a header on 500 connections."""
    held = []
    for _ in range(500):
        connection = socket.create_connection(("127.0.0.1", trial.target.port), timeout=20)
        connection.sendall(b"GET /v1/slow HTTP/1.1\r\nHost: loc")
        held.append(connection)
    trial.checks.equal(trial.target.client().request("GET", "/livez").status, 200, "/livez meanwhile")
    for connection in held:
        connection.close()


def long_header(trial):
    """A header of 1 MiB."""
    answer = trial.raw(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * MIB + b"\r\n\r\n")
    trial.checks.check(status_of(answer) in (400, 431, None), f"refused: {status_of(answer)}")


def much_in_flight(trial):
    """40 slow bodies of 16 MiB at once, past the budget of bytes in flight."""
    answers, lock = [], threading.Lock()

    def send():
        with socket.create_connection(("127.0.0.1", trial.target.port), timeout=30) as connection:
            try:
                connection.sendall(b"PUT /v1/flight HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (16 * MIB))
                connection.sendall(bytes(15 * MIB))  # and no more: the rest never comes
            except OSError:
                pass
            answer = read_to_end(connection)
        with lock:
            answers.append((status_of(answer), code_of(answer)))

    threads = [threading.Thread(target=send) for _ in range(40)]
    for thread in threads:
        thread.start()
    peak = 0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, trial.target.resident_bytes())
        for thread in threads:
            thread.join(0.005)
    say(f"answers: { {answer: answers.count(answer) for answer in sorted(set(answers), key=str)} }, peak {peak / MIB:.0f} MiB")
    trial.checks.check((503, "overloaded") in answers, "some are refused with 503 overloaded")
    trial.checks.check(peak < 512 * MIB, f"resident memory peaked at {peak / MIB:.0f} MiB, the budget being 256 MiB")


TRIALS = [too_large, stalled_body, stopped_reader, gzip_bomb, bad_key, two_lengths, another_origin, many_connections, long_header, much_in_flight]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[trial.__name__ for trial in TRIALS])
    options = parser.parse_args()
    checks, data = Checks(), server.fresh("hostile")
    with Server(data, SETTINGS) as target:
        # What the service keeps for good once it has been used (threads, buffers) is not growth.
        target.client().put("warm", bytes(16 * MIB))
        target.client().delete("warm")
        trial = Trial(checks, target)
        for work in TRIALS:
            if options.only in (None, work.__name__):
                trial.run(work)
        checks.ends_well(target)
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
