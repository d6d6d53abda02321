"""A TCP proxy in front of a database that cuts connections at the worst moment: around a COMMIT."""

import random
import socket
import threading

# How the text of a commit ends, in the protocols of PostgreSQL and of MariaDB. READ COMMITTED is none.
COMMIT = (b"COMMIT\0", b"\x03COMMIT")

# What becomes of a connection when its client commits.
PASS = "pass"  # nothing: the answer arrives
UNSENT = "unsent"  # cut before the server has seen it
UNKNOWN = "unknown"  # cut as soon as it was handed over: nobody knows
UNHEARD = "unheard"  # cut when the server has answered, before the client has heard it


class Proxy:
    """Forwards to `address`; each commit meets one of `fates`, at random. `met` counts them."""

    def __init__(self, address, fates, seed):
        self.address, self.fates = address, fates
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.met = {fate: 0 for fate in (PASS, UNSENT, UNKNOWN, UNHEARD)}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.address, timeout=10)
            except OSError:
                client.close()
                continue
            Pair(self, client, server)

    def fate(self):
        with self.lock:
            fate = self.random.choice(self.fates)
            self.met[fate] += 1
            return fate

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Pair:
    """One client's connection and the one that it is forwarded to."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        server.settimeout(None)
        self.deaf = False  # whether the next answer is to be swallowed
        threading.Thread(target=self.up, daemon=True).start()
        threading.Thread(target=self.down, daemon=True).start()

    def up(self):
        """What the client says. Commits are small messages of their own, so that one is never cut in two."""
        try:
            while data := self.client.recv(65536):
                fate = self.proxy.fate() if data.endswith(COMMIT) else PASS
                if fate == UNSENT:
                    break
                self.deaf = fate == UNHEARD
                self.server.sendall(data)
                if fate == UNKNOWN:
                    break
        except OSError:
            pass
        if not self.deaf:
            self.cut()

    def down(self):
        """What the server answers."""
        try:
            while data := self.server.recv(65536):
                if self.deaf:
                    break
                self.client.sendall(data)
        except OSError:
            pass
        self.cut()

    def cut(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
