"""/docs/ in headless Chromium without a network: PUT, GET, DELETE and flush through "Try it out", by what the page shows."""

import argparse
import json
import shutil
import urllib.parse

from playwright.sync_api import sync_playwright

from . import server
from .checks import Checks, say
from .server import Server

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
DEADLINE_MS = 20_000


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


def every_operation(checks, page, document):
    """Each operation of the document runs with the examples that the page fills in."""
    page.reload()
    page.locator(".opblock").first.wait_for()
    order = {"put": 0, "get": 1, "head": 2, "post": 3, "delete": 4}
    named = [
        (order.get(method, 5), method.upper(), path, operation)
        for path, methods in document["paths"].items() for method, operation in methods.items() if method in order
    ]
    for _, method, path, operation in sorted(named, key=lambda each: each[:3]):
        status, _ = Operation(page, method, path).open().execute()
        documented = status in operation["responses"]
        checks.check(documented and status[0] in "23", f"{method} {path} with its example: {status}")


def run(checks, target, pictures):
    origin = f"http://127.0.0.1:{target.port}"
    foreign, broken = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(DEADLINE_MS)
        page.on("request", lambda request: note_foreign(request.url, origin, foreign))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(f"{origin}/docs")
        page.locator(".opblock").first.wait_for()
        checks.equal(urllib.parse.urlsplit(page.url).path, "/docs/", "/docs leads to")
        try:
            store_and_flush(checks, page)
            page.screenshot(path=pictures / "try-it-out.png", full_page=True)
            document = json.loads(target.client().request("GET", "/openapi.json").body)
            every_operation(checks, page, document)
        except Exception as error:
            page.screenshot(path=pictures / "failed.png", full_page=True)
            checks.check(False, f"the page did not do as expected: {error}")
        browser.close()
    checks.check(not foreign, "the page asked for nothing outside its server" + "".join(f"; {url}" for url in foreign[:5]))
    checks.check(not broken, "no script of the page failed" + "".join(f"; {error}" for error in broken[:5]))


def note_foreign(url, origin, foreign):
    if not url.startswith((origin + "/", "data:", "blob:")):
        foreign.append(url)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checks, data, pictures = Checks(), server.fresh("try-it-out"), server.CACHE / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    with Server(data) as target:
        run(checks, target, pictures)
        checks.equal(target.stop(), 0, "exit status of a stop")
    say("pictures are in tests/.cache/screenshots")
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
