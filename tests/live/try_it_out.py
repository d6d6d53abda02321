"""/docs/ in headless Chromium without a network, by what the page shows: PUT, GET, DELETE and flush through "Try it out",
then every operation of the document on a fresh server, with the examples that the page fills in."""

import argparse
import json
import shutil
import urllib.parse

from . import examples, server
from .browser import PICTURES, Watched, chromium
from .checks import Checks, say
from .server import Server


class Operation:
    """One block of Swagger UI, opened and ready to be run."""

    def __init__(self, page, method, path):
        self.block = page.locator(f".opblock.opblock-{method.lower()}").filter(
            has=page.locator(f".opblock-summary-path[data-path='{path}']")
        )
        self.name = f"{method} {path}"

    def open(self):
        if "is-open" not in (self.block.get_attribute("class") or ""):
            self.block.locator(".opblock-summary-control").click()
        self.block.locator(".try-out__btn").wait_for()
        # The page may open its operations ready to be tried; then the button says Cancel.
        button = self.block.locator(".try-out__btn:not(.cancel)")
        if button.count():
            button.click()
        return self

    def parameter(self, name, text):
        self.block.locator(f"tr[data-param-name='{name}'] input").fill(text)
        return self

    def body(self, text):
        self.block.locator("textarea.body-param__text").fill(text)
        return self

    def execute(self):
        """Presses Execute and returns (status, body) as the page shows them."""
        clear = self.block.locator(".btn-clear")
        if clear.count():
            clear.click()
        self.block.locator("button.execute").click()
        live = self.block.locator(".live-responses-table")
        live.wait_for()
        status = live.locator("tr.response td.response-col_status").first.inner_text().split()[0]
        shown = live.locator("td.response-col_description pre").all_inner_texts()
        return status, "\n".join(shown)

    def close(self):
        self.block.locator(".opblock-summary-control").click()


def store_and_flush(checks, page):
    """The four operations that the page is there for."""
    put, get = Operation(page, "PUT", "/v1/{key}").open(), Operation(page, "GET", "/v1/{key}").open()
    delete = Operation(page, "DELETE", "/v1/{key}").open()
    for key in ("browser-key", "browser/key with a slash & more"):
        value = f"written from the page under {key}"
        status, _ = put.parameter("key", key).body(value).execute()
        checks.equal(status, "201", f"PUT {key}")
        status, shown = get.parameter("key", key).execute()
        checks.equal(status, "200", f"GET {key}")
        checks.check(value in shown, "and the page shows the value")
        checks.check("etag:" in shown.lower(), "and its ETag")
        status, _ = put.parameter("key", key).body(value + ", twice").execute()
        checks.equal(status, "204", f"PUT {key} again")
        status, _ = delete.parameter("key", key).execute()
        checks.equal(status, "204", f"DELETE {key}")
        status, shown = get.parameter("key", key).execute()
        checks.equal(status, "404", f"GET {key} after DELETE")
        checks.check("key_not_found" in shown, "and the page shows the problem's code")
    for method in ("DELETE", "POST"):
        status, _ = put.parameter("key", "to-be-flushed").body("short-lived").execute()
        checks.equal(status, "201", "PUT to-be-flushed")
        status, shown = Operation(page, method, "/flush").open().execute()
        checks.equal(status, "200", f"{method} /flush")
        checks.check('"flushed": 1' in shown or '"flushed":1' in shown, "and the page shows that one key left")
        Operation(page, method, "/flush").block.locator(".opblock-summary-control").click()


def turn(method, path):
    """What is written comes before what is read, and what takes away comes last."""
    if method == "delete":
        # An expiry can only be taken from what is there, and a keyspace goes after what is in it; one that is gone already
        # can be named again where several are dropped.
        return 4 if "/ttl/" in path else 6 if "/keys/" in path else 8 if path == "/keyspaces" else 7
    if method == "post" and path.endswith("/flush"):
        return 5
    return {"put": 0, "post": 1, "get": 2, "head": 3}[method]


def every_operation(checks, page, document):
    """Each operation of the document runs with the examples that the page fills in."""
    named = [
        (turn(method, path), path, method.upper(), operation)
        for path, methods in document["paths"].items() for method, operation in methods.items()
    ]
    shown = page.locator(".opblock")
    checks.equal(shown.count(), len(named), "operations on the page")
    for _, path, method, operation in sorted(named, key=lambda each: each[:3]):
        try:
            ran = Operation(page, method, path).open()
            status, _ = ran.execute()
            ran.close()
        except Exception as error:
            status = f"not executed, {str(error).splitlines()[0]}"
        good = status in operation["responses"] and (status[0] == "2" or status == "304")
        checks.check(good, f"{method} {path} with its example: {status}")


def run(checks, data, what, picture, arguments=()):
    """Does `what(page, document)` with the page of a fresh server."""
    with Server(data, arguments=arguments) as target, chromium() as browser:
        document = json.loads(target.client().request("GET", "/openapi.json").body)
        watched = Watched(browser, f"http://127.0.0.1:{target.port}")
        page = watched.page(height=1600)
        page.goto(f"{watched.origin}/docs")
        page.locator(".opblock").first.wait_for()
        checks.equal(urllib.parse.urlsplit(page.url).path, "/docs/", "/docs leads to")
        try:
            what(page, document)
        except Exception as error:
            checks.check(False, f"the page did not do as expected: {error}")
        page.screenshot(path=PICTURES / picture, full_page=True)
        watched.check(checks, "/docs/")
        checks.ends_well(target)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checks, data = Checks(), server.fresh("try-it-out")
    run(checks, data, lambda page, _: store_and_flush(checks, page), "try-it-out.png")
    data = server.fresh("try-it-out")
    run(checks, data, lambda page, document: every_operation(checks, page, document), "every-operation.png",
        examples.configuration())
    say("pictures are in tests/.cache/screenshots")
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
