"""/ui/ on a server with tokens: it asks for one, says what a token may not do, and forgets it with the page."""

import hashlib
import shutil

from . import server
from .browser import PICTURES, Watched
from .server import Server

ADMIN, READER = "admin-token-for-this-test", "reader-token-for-this-test"


def configuration(folder):
    """A file with a token that may do everything and one that may read one keyspace."""
    def digest(token):
        return hashlib.sha256(token.encode()).hexdigest()

    file = folder / "ui-tokens.yml"
    file.write_text(f"""access:
  tokens:
    - name: admin
      sha256: {digest(ADMIN)}
      verbs: [read, write, admin]
    - name: reader
      sha256: {digest(READER)}
      keyspaces: [default]
      verbs: [read]
""", "utf-8")
    return file


def enter(page, token):
    box = page.locator("dialog[open]")
    box.get_by_label("Bearer token").fill(token)
    page.keyboard.press("Enter")


def kept(page):
    """Everything that outlives a page."""
    return page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")


def with_tokens(checks, browser):
    data = server.fresh("ui-tokens")
    with Server(data, arguments=("-c", configuration(server.CACHE))) as target:
        client = target.client()
        client.request("PUT", "/v1/secret", b"hidden", {"Authorization": f"Bearer {ADMIN}"})
        watched = Watched(browser, f"http://127.0.0.1:{target.port}")
        page = watched.page()
        try:
            walk_with_tokens(checks, page, watched.origin, client)
        except Exception as error:
            page.screenshot(path=PICTURES / "ui-failed-tokens.png")
            checks.check(False, f"with tokens: {error}")
        page.close()
        watched.check(checks, "/ui/ with tokens")
        checks.ends_well(target)
    shutil.rmtree(data, ignore_errors=True)


def walk_with_tokens(checks, page, origin, client):
    page.goto(f"{origin}/ui/")
    page.locator("dialog[open]").wait_for()
    page.screenshot(path=PICTURES / "ui-token.png")
    checks.check("secret" not in page.locator("main").inner_text(), "without a token nothing is shown")
    enter(page, "not the token")
    page.locator("dialog[open]").wait_for()
    checks.check(True, "another token is asked for again")
    enter(page, READER)
    page.locator(".keys a", has_text="secret").click()
    page.locator("pre.shown", has_text="hidden").wait_for()
    checks.check(True, "the reader's token shows the value")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Value", exact=True).fill("overwritten")
    page.get_by_role("button", name="Save").click()
    page.locator(".conflict .failure", has_text="forbidden").wait_for()
    checks.equal(client.request("GET", "/v1/secret", headers={"Authorization": f"Bearer {ADMIN}"}).body, b"hidden", "what it may not write stays")
    page.screenshot(path=PICTURES / "ui-forbidden.png")
    page.goto(f"{origin}/ui/#/figures")
    page.get_by_text("Figures need a token with the verb admin").wait_for()
    page.screenshot(path=PICTURES / "ui-figures-forbidden.png")
    page.goto(f"{origin}/ui/#/flows")
    page.get_by_text("Data flows need a token with the verb admin").wait_for()
    page.screenshot(path=PICTURES / "ui-flows-forbidden.png")
    page.get_by_role("button", name="Enter a token").click()
    enter(page, ADMIN)
    page.locator(".how").first.wait_for()
    checks.check(True, "the admin's token shows the data flows")
    page.goto(f"{origin}/ui/#/figures")
    page.locator(".plot path.line[d*=L]").first.wait_for(state="attached")
    checks.check(True, "and the figures")
    text = kept(page)
    checks.check(ADMIN not in text and READER not in text, "no token is kept in storage, cookie or address")
    page.goto(f"{origin}/ui/#/watch")
    page.get_by_role("button", name="Follow").click()
    page.locator(".stream .state", has_text="Live").wait_for()
    client.request("PUT", "/v1/secret", b"streamed", {"Authorization": f"Bearer {ADMIN}"})
    page.locator(".events .more", has_text="streamed").wait_for()
    checks.check(True, "a watch carries the token")
    page.reload()
    page.locator("dialog[open]").wait_for()
    checks.check(True, "a reload has forgotten it")
    page.keyboard.press("Escape")
    page.locator("main .failure, main .empty", has_text="token").first.wait_for()
    checks.check(True, "Escape leaves the page with what is missing, in words")
