"""Headless Chromium without a network, and what every page must hold: nothing from elsewhere, no script that fails."""

import contextlib

from playwright.sync_api import sync_playwright

from . import server

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
DEADLINE_MS = 20_000
PICTURES = server.CACHE / "screenshots"


class Watched:
    """Pages of one origin, and what went wrong on any of them."""

    def __init__(self, browser, origin):
        self.browser = browser
        self.origin = origin
        self.foreign = []
        self.broken = []

    def page(self, width=1280, height=800, **more):
        page = self.browser.new_page(viewport={"width": width, "height": height}, **more)
        page.set_default_timeout(DEADLINE_MS)
        page.on("request", lambda request: self.note_request(request.url))
        page.on("pageerror", lambda error: self.broken.append(str(error)))
        page.on("console", self.note_console)
        return page

    def note_request(self, url):
        if not url.startswith((self.origin + "/", "data:", "blob:")):
            self.foreign.append(url)

    def note_console(self, message):
        # An answer of 4xx is an event for the page, and Chromium logs it by itself; a refused script or style is a defect.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.broken.append(message.text)

    def check(self, checks, name):
        checks.check(not self.foreign, f"{name} asked for nothing outside its server" + "".join(f"; {url}" for url in self.foreign[:5]))
        checks.check(not self.broken, f"no script of {name} failed" + "".join(f"; {text}" for text in self.broken[:5]))


@contextlib.contextmanager
def chromium():
    """A browser that is closed in any case."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
