"""An HTTP server that takes parts of a sink: it remembers their names, and misbehaves at random until it is told to stop."""

import base64
import http.server
import json
import threading


class HttpTarget:
    def __init__(self, password, chance):
        self.lock = threading.Lock()
        self.chance = chance
        self.bad = True
        self.taken = set()
        self.sums = {}
        self.repeated = self.failed = 0
        self.strange = []
        self.authorization = "Basic " + base64.b64encode(f"u:{password}".encode()).decode()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/changes"

    def behave(self):
        self.bad = False

    def take(self, headers, body):
        """Returns a status, or None to hang up. A part may be taken and its answer be lost."""
        with self.lock:
            name = headers.get("Idempotency-Key", "")
            if headers.get("Authorization") != self.authorization or not name.startswith('"') or headers.get("Content-Type") != "application/json":
                self.strange.append(dict(headers))
            kind = self.chance.random() if self.bad else 1
            if kind < 0.15:
                self.failed += 1
                return self.chance.choice([429, 500, 503])
            if name in self.taken:
                self.repeated += 1
            else:
                self.taken.add(name)
                for item in json.loads(body)["items"]:
                    self.sums[item["key"]] = self.sums.get(item["key"], 0) + item["sum"]
            if kind < 0.35:
                self.failed += 1
                return None
            return 204

    def handler(self):
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = target.take(self.headers, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
