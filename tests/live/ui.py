"""/ui/ in headless Chromium, as a person uses it: browse, search, edit, conflict, create, delete, files, keyspaces, a watch,
figures, the keyboard alone, dark and light, a phone, data flows, sinks, and a server with tokens. What the page shows is held
against what the server says."""

import argparse
import json
import shutil

from . import server
from .browser import PICTURES, Watched, chromium
from .checks import Checks, say, wait_until
from .server import Server
from .ui_access import with_tokens
from .ui_flows import with_flows
from .ui_looks import every_view, keyboard_only, themes
from .ui_sinks import with_sinks

JSON = b'{"name":"standpipe","ratio":1.0,"big":12345678901234567890,"tags":["a",{"deep":null}],"text":"a \\"quoted\\" {"}'
BINARY = bytes(range(256)) * 12
CRLF = b"first line\r\nsecond line\r\n"


def fill(client):
    """What a person finds: some hundred keys, several kinds of values."""
    for number in range(130):
        client.put(f"user:{number:03}", f"hello {number}".encode(), query="?ttl=2h" if number % 3 else "")
    client.put("config/app.json", JSON, "application/json")
    client.put("config/deep/er/file.txt", b"deep")
    client.put("blob.bin", BINARY, "application/octet-stream")
    client.put("crlf.txt", CRLF, "text/plain")
    client.put("empty", b"", "text/plain")
    client.put("large.txt", b"0123456789abcdef" * (1 << 17), "text/plain")
    client.put("markup", b"<script>document.title='owned'</script><b>bold</b>", "text/html")


class Walk:
    """One page, with words for what a person does on it."""

    def __init__(self, checks, page, origin, client):
        self.checks, self.page, self.origin, self.client = checks, page, origin, client

    def goto(self, place):
        self.page.goto(f"{self.origin}/ui/{place}")

    def button(self, name, within=None):
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def keys(self):
        return self.page.locator(".keys a .name")

    def wait_keys(self, first):
        self.page.locator(".keys a .name", has_text=first).first.wait_for()

    def open_key(self, key):
        self.goto("#/keys/default?" + self.page.evaluate("key => new URLSearchParams({key}).toString()", key))
        self.page.locator(".entry h1", has_text=key).wait_for()

    def dialog(self):
        box = self.page.locator("dialog[open]")
        box.wait_for()
        return box

    def toast(self, text):
        self.page.locator(".toast", has_text=text).first.wait_for()
        self.checks.check(True, f"the page says “{text}”")

    def picture(self, name):
        self.page.screenshot(path=PICTURES / f"ui-{name}.png")


def browse(walk):
    checks, page = walk.checks, walk.page
    walk.goto("")
    walk.wait_keys("blob.bin")
    checks.equal(walk.keys().count(), 50, "keys on the first page")
    walk.picture("keys")
    seen = walk.keys().all_inner_texts()
    while not walk.button("Next").is_disabled():
        before = walk.keys().first.inner_text()
        walk.button("Next").click()
        page.wait_for_function("before => document.querySelector('.keys a .name')?.textContent !== before && document.querySelector('.keys a')", arg=before)
        seen += walk.keys().all_inner_texts()
    checks.equal((len(seen), len(set(seen))), (137, 137), "keys on all pages, each once")
    checks.check(seen == sorted(seen), "and in order")
    walk.button("Previous").click()
    page.wait_for_function("last => document.querySelector('.keys a .name')?.textContent < last", arg=seen[-1])
    checks.check(walk.keys().first.inner_text() == seen[50], "Previous goes back one page")
    page.get_by_role("searchbox", name="Prefix").fill("user:01")
    walk.wait_keys("user:010")
    checks.equal(walk.keys().all_inner_texts(), [f"user:01{digit}" for digit in range(10)], "keys that start with user:01")
    page.get_by_role("searchbox", name="Prefix").fill("no such key")
    page.get_by_text("Nothing starts so").wait_for()
    walk.picture("nothing-found")
    walk.button("Show all keys").click()
    page.get_by_label("Folders by /").check()
    page.locator(".keys a.folder", has_text="config/").click()
    page.locator(".keys a.folder", has_text="deep/").wait_for()
    checks.equal(walk.keys().all_inner_texts(), ["app.json", "deep/"], "inside the folder config/")
    walk.picture("folders")
    page.go_back()
    walk.wait_keys("blob.bin")


def look(walk):
    checks, page = walk.checks, walk.page
    walk.open_key("config/app.json")
    shown = page.locator("pre.shown").inner_text()
    checks.check('"ratio": 1.0' in shown and '"big": 12345678901234567890' in shown, "JSON is laid out and its numbers stay as they were written")
    checks.check('"text": "a \\"quoted\\" {"' in shown, "and its strings")
    walk.picture("json")
    walk.button("Text").click()
    checks.equal(page.locator("pre.shown").inner_text().encode(), JSON, "as text it is what was put")
    facts = page.locator(".facts").inner_text()
    answer = walk.client.get("config/app.json")
    checks.check(answer.header("ETag") in facts and "application/json" in facts, "type and ETag are shown")
    walk.open_key("blob.bin")
    checks.check("00000010  10 11 12 13 14 15 16 17  18 19" in page.locator("pre.hex").inner_text(), "bytes are shown in hex")
    checks.check(walk.button("Edit").is_disabled(), "bytes that are no text cannot be edited as text")
    walk.picture("hex")
    with page.expect_download() as download:
        walk.button("Download").click()
    checks.check(download.value.path().read_bytes() == BINARY, "the downloaded file has the bytes that were put")
    walk.open_key("empty")
    page.get_by_text("This value has no bytes.").wait_for()
    walk.open_key("large.txt")
    walk.button("Show more").wait_for()
    checks.check("of 2,097,152 bytes" in page.locator(".value").inner_text(), "of a large value the beginning is shown")
    walk.open_key("markup")
    checks.check("<b>bold</b>" in page.locator("pre.shown").inner_text() and "owned" not in page.title(), "markup is shown, never run")


def edit(walk):
    checks, page, client = walk.checks, walk.page, walk.client
    walk.open_key("user:001")
    before = client.get("user:001")
    walk.button("Edit").click()
    page.get_by_label("Value", exact=True).fill("changed by hand\nsecond line")
    walk.picture("edit")
    walk.button("Save").click()
    walk.toast("Saved")
    after = client.get("user:001")
    checks.equal(after.body, b"changed by hand\nsecond line", "the server has the text")
    checks.check(after.header("ETag") != before.header("ETag") and after.header("ETag") in page.locator(".facts").inner_text(), "the new ETag is shown")
    checks.equal(after.header("Expires"), before.header("Expires"), "the expiry stays")
    checks.equal(after.header("Content-Type"), before.header("Content-Type"), "and the type")
    walk.open_key("crlf.txt")
    walk.button("Edit").click()
    page.get_by_label("Value", exact=True).press("Control+End")
    page.keyboard.type("third line")
    page.keyboard.press("Control+Enter")
    walk.toast("Saved")
    checks.equal(client.get("crlf.txt").body, CRLF + b"third line", "line ends are kept")
    walk.open_key("user:002")
    walk.button("Edit").click()
    page.get_by_label("Type").fill("not a type")
    walk.button("Save").click()
    walk.toast("Saved")
    checks.equal(client.get("user:002").header("Content-Type"), "text/plain; charset=utf-8", "a type that is none leaves it to the bytes")


def conflict(walk):
    checks, page, client = walk.checks, walk.page, walk.client
    for choice, expected in (("Save mine over theirs", b"mine"), ("Drop mine, take theirs", b"theirs")):
        client.put("contested", b"first", "text/plain")
        walk.open_key("contested")
        walk.button("Edit").click()
        page.get_by_label("Value", exact=True).fill("mine")
        client.put("contested", b"theirs", "text/plain")
        walk.button("Save").click()
        page.get_by_text("Somebody changed this value while you were editing").wait_for()
        checks.equal(page.locator(".theirs").inner_text(), "theirs", "the conflict shows their value")
        checks.equal(client.get("contested").body, b"theirs", "and nothing was overwritten")
        walk.picture("conflict")
        walk.button(choice).click()
        page.locator("pre.shown", has_text=expected.decode()).wait_for()
        checks.equal(client.get("contested").body, expected, f"after “{choice}”")
        walk.goto("#/keys/default")
    walk.open_key("contested")
    walk.button("Edit").click()
    page.get_by_label("Value", exact=True).fill("once more")
    client.delete("contested")
    walk.button("Save").click()
    page.get_by_text("Somebody deleted this key while you were editing").wait_for()
    checks.equal(client.get("contested").status, 404, "a deleted key is not made again unasked")
    walk.button("Create it again").click()
    page.locator("pre.shown", has_text="once more").wait_for()
    checks.equal(client.get("contested").body, b"once more", "and is when asked for")


def hint(walk):
    """An open entry says so when somebody else changes it."""
    checks, page, client = walk.checks, walk.page, walk.client
    client.put("watched", b"first", "text/plain")
    walk.open_key("watched")
    client.put("watched", b"second", "text/plain")
    page.get_by_text("This value was changed just now.").wait_for()
    walk.picture("changed")
    walk.button("Show it").click()
    page.locator("pre.shown", has_text="second").wait_for()
    checks.equal(page.get_by_text("This value was changed just now.").count(), 0, "hints after it was shown")
    client.delete("watched")
    page.get_by_text("This value was deleted just now.").wait_for()
    walk.button("Look again").click()
    page.get_by_text("This key is not there").wait_for()
    checks.check(True, "an open entry says when it was changed and when it is gone")


def create_and_delete(walk):
    checks, page, client = walk.checks, walk.page, walk.client
    walk.goto("#/keys/default")
    walk.wait_keys("blob.bin")
    walk.button("New key").first.click()
    box = walk.dialog()
    box.get_by_label("Key", exact=True).fill("a new/key & more")
    box.get_by_label("Value", exact=True).fill('{"a":1}')
    box.get_by_label("Type").fill("application/json")
    box.get_by_label("Expires").first.select_option("after")
    box.get_by_label("Expires after").fill("90s")
    walk.picture("new-key")
    walk.button("Create", box).click()
    walk.toast("Created")
    made = client.get("a new/key & more")
    checks.equal((made.status, made.body, made.header("Content-Type")), (200, b'{"a":1}', "application/json"), "the new key")
    checks.check(made.header("Expires"), "and it expires")
    walk.button("New key").first.click()
    box = walk.dialog()
    box.get_by_label("Key", exact=True).fill("empty")
    box.get_by_label("Value", exact=True).fill("over it")
    walk.button("Create", box).click()
    box.get_by_text("There is such a key.").wait_for()
    checks.equal(client.get("empty").body, b"", "a key that is there is not written over")
    page.keyboard.press("Escape")
    walk.open_key("a new/key & more")
    walk.button("Change when it expires").click()
    walk.button("Set", walk.dialog()).click()
    walk.toast("The expiry is set")
    checks.equal(client.get("a new/key & more").header("Expires"), None, "the expiry is taken away")
    page.locator(".entry input[type=file]").set_input_files({"name": "new.bin", "mimeType": "application/octet-stream", "buffer": BINARY[::-1]})
    walk.button("Replace", walk.dialog()).click()
    walk.toast("Replaced")
    checks.check(client.get("a new/key & more").body == BINARY[::-1], "a file took the value's place, byte by byte")
    walk.button("Delete").click()
    box = walk.dialog()
    checks.equal(page.evaluate("document.activeElement.textContent"), "Cancel", "the first Enter deletes nothing: the focus is on")
    walk.picture("delete")
    page.keyboard.press("Enter")
    checks.equal(client.get("a new/key & more").status, 200, "after Cancel it is still there")
    client.put("a new/key & more", b"changed meanwhile", "text/plain")
    walk.button("Delete").click()
    walk.button("Delete", walk.dialog()).click()
    page.get_by_text("It has changed meanwhile.").wait_for()
    checks.equal(client.get("a new/key & more").status, 200, "what was not seen is not deleted")
    walk.button("Delete", walk.dialog()).click()
    walk.toast("Deleted")
    checks.equal(client.get("a new/key & more").status, 404, "and then it is")
    walk.goto("#/keys/default?prefix=user:12")
    walk.wait_keys("user:120")
    walk.button("Delete all keys with this prefix").click()
    box = walk.dialog()
    checks.check("Delete 10 keys?" in box.inner_text(), "deleting by prefix says how many")
    walk.button("Delete 10 keys", box).click()
    walk.toast("10 keys deleted")
    checks.equal((client.get("user:125").status, client.get("user:119").status), (404, 200), "those with the prefix, and no other")


def keyspaces(walk):
    checks, page, client = walk.checks, walk.page, walk.client
    walk.goto("#/keyspaces")
    page.locator(".space[data-name=default]").wait_for()
    checks.equal(walk.button("Drop", page.locator(".space[data-name=default]")).count(), 0, "ways to drop the default keyspace")
    walk.button("New keyspace").click()
    box = walk.dialog()
    box.get_by_label("Name").fill("sessions")
    box.get_by_label("Values leave after").fill("never ever")
    walk.button("Create", box).click()
    box.locator(".failure", has_text="invalid_policy").wait_for()
    walk.picture("policy-refused")
    box.get_by_label("Values leave after").fill("15m")
    box.get_by_label("Memory limit").fill("64MiB")
    walk.button("Create", box).click()
    walk.toast("sessions is there")
    card = page.locator(".space[data-name=sessions]")
    card.wait_for()
    checks.check("ttl 15m" in card.inner_text() and "64 MiB" in card.inner_text(), "its policy is shown")
    client.request("PUT", "/keyspaces/sessions/keys/one", b"1")
    walk.picture("keyspaces")
    walk.button("Change", card).click()
    box = walk.dialog()
    checks.equal(box.get_by_label("Memory limit").input_value(), "64MiB", "the form begins with what holds")
    box.get_by_label("When full").select_option("none")
    walk.button("Change", box).click()
    walk.toast("sessions is changed")
    policy = json.loads(client.request("GET", "/keyspaces/sessions").body)
    checks.check('"none"' in json.dumps(policy) and "67108864" in json.dumps(policy), "the server has the changed policy")
    card.get_by_text("Browse").click()
    walk.wait_keys("one")
    checks.equal(page.get_by_label("Keyspace").input_value(), "sessions", "Browse leads to")
    walk.goto("#/keyspaces")
    walk.button("Empty", card).click()
    walk.button("Empty it", walk.dialog()).click()
    walk.toast("1 key deleted")
    walk.button("Drop", card).click()
    box = walk.dialog()
    box.get_by_label("Type its name").fill("session")
    walk.button("Drop it", box).click()
    checks.equal(client.request("GET", "/keyspaces/sessions").status, 200, "half a name drops nothing")
    box.get_by_label("Type its name").fill("sessions")
    walk.button("Drop it", box).click()
    walk.toast("sessions is dropped")
    checks.equal(client.request("GET", "/keyspaces/sessions").status, 404, "and the whole name does")


def watch(walk):
    checks, page, client = walk.checks, walk.page, walk.client
    walk.goto("#/watch")
    page.get_by_label("Prefix or key").fill("live/")
    walk.button("Follow").click()
    page.locator(".stream .state", has_text="Live").wait_for()
    client.put("live/a", b"watched value", "text/plain")
    client.put("elsewhere", b"unseen", "text/plain")
    client.put("live/b", BINARY, "application/octet-stream")
    client.delete("live/a")
    rows = page.locator(".events li")
    page.locator(".events .badge", has_text="delete").wait_for()
    shown = page.locator(".events").inner_text()
    checks.equal(rows.count(), 3, "changes shown")
    checks.check("watched value" in shown and "3 KiB" in shown and "elsewhere" not in shown, "values of those that were asked for")
    walk.picture("watch")
    walk.button("Stop").click()
    client.put("live/c", b"late", "text/plain")
    page.locator(".stream .state", has_text="Stopped").wait_for()
    page.get_by_label("begin with what is there").check()
    walk.button("Clear").click()
    walk.button("Follow").click()
    page.locator(".events .badge", has_text="synced").wait_for()
    checks.equal(page.locator(".events .badge.good").count(), 2, "what is there is shown first")
    page.keyboard.press("Escape")
    page.locator(".stream .state", has_text="Stopped").wait_for()


def figures(walk):
    checks, page, client = walk.checks, walk.page, walk.client
    walk.goto("#/figures")

    def drawn():
        client.get("user:000")
        client.put("busy", b"x" * 100, "text/plain")
        client.get("no such key")
        return page.evaluate("[...document.querySelectorAll('.chart')].filter((chart) => [...chart.querySelectorAll('path.line')].some((line) => /L/.test(line.getAttribute('d')))).length")

    wait_until(lambda: drawn() == 8, 60, "every chart has a line")
    checks.check(True, "every chart has a line")
    latency = page.locator(".chart", has_text="Latency").locator(".legend b").all_inner_texts()
    checks.check(all(text.endswith(("s",)) for text in latency), f"latency percentiles: {latency}")
    tiles = page.locator(".tiles").inner_text()
    checks.check("MiB" in tiles, "the memory of the process is shown")
    page.get_by_label("Operation", exact=True).select_option("get_value")
    plot = page.locator(".plot").first
    plot.focus()
    page.keyboard.press("ArrowLeft")
    checks.check("done" in page.locator(".tip").first.inner_text(), "the arrow keys read the chart")
    walk.button("Make a snapshot").click()
    page.locator(".toast", has_text="Snapshot made").wait_for()
    wait_until(lambda: page.locator(".mark").count() == 1, 20, "the snapshot is marked in its chart")
    checks.check(True, "the snapshot is marked in its chart")
    page.screenshot(path=PICTURES / "ui-figures.png", full_page=True)


STEPS = [browse, look, edit, conflict, hint, create_and_delete, keyspaces, watch, figures, keyboard_only, themes, every_view]
# Those that need servers of their own.
SERVERS = [with_flows, with_sinks, with_tokens]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", help="only these: " + " ".join(step.__name__ for step in [*STEPS, *SERVERS]))
    wanted = parser.parse_args().steps
    checks, data = Checks(), server.fresh("ui")
    with chromium() as browser:
        with Server(data) as target:
            fill(target.client())
            watched = Watched(browser, f"http://127.0.0.1:{target.port}")
            for step in STEPS:
                if wanted and step.__name__ not in wanted:
                    continue
                say(step.__name__.replace("_", " "))
                page = watched.page()
                try:
                    step(Walk(checks, page, watched.origin, target.client()))
                except Exception as error:
                    page.screenshot(path=PICTURES / f"ui-failed-{step.__name__}.png")
                    checks.check(False, f"{step.__name__}: {error}")
                page.close()
            watched.check(checks, "/ui/")
            checks.ends_well(target)
        for step in SERVERS:
            if not wanted or step.__name__ in wanted:
                say(step.__name__.replace("_", " "))
                step(checks, browser)
    say("pictures are in tests/.cache/screenshots")
    shutil.rmtree(data, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
