"""A small HTTP client that keeps its connection: one per thread, no retries of its own."""

import http.client
import socket
import urllib.parse


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name):
        return self.headers.get(name)


def key_path(key):
    """`/v1/{key}` with everything escaped that a path does not carry as it is."""
    return "/v1/" + urllib.parse.quote(key, safe="/")


class Client:
    """Raises OSError (HTTPException included) when the server is gone; the next request connects anew."""

    def __init__(self, port, timeout=30):
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        try:
            if self.connection.sock is None:
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request(method, path, body, headers or {})
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (http.client.HTTPException, OSError) as error:
            self.connection.close()
            raise ConnectionError(f"{method} {path}: {error!r}") from error

    def get(self, key, **more):
        return self.request("GET", key_path(key), **more)

    def put(self, key, value, content_type=None, query="", headers=None):
        headers = dict(headers or {})
        if content_type is not None:
            headers["Content-Type"] = content_type
        return self.request("PUT", key_path(key) + query, value, headers)

    def delete(self, key, **more):
        return self.request("DELETE", key_path(key), **more)

    def close(self):
        self.connection.close()
