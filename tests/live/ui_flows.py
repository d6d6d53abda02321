"""The view of data flows in /ui/: sources that work, fail and cannot run, mirrors of a server that is up, goes away and comes
back, and of one that was never there. What is shown is held against what the server says."""

import json
import re
import shutil
import socket

from . import server
from .browser import PICTURES, Watched
from .checks import Checks, wait_until
from .server import Server
from .ui_looks import NAMELESS, PALE

# Which parts of a card were drawn again is seen by a mark that a new element would not have.
MARK = "(element) => { element.querySelectorAll('*').forEach((each) => { each.marked = true; }); }"
UNMARKED = "(element) => [...element.querySelectorAll('*')].filter((each) => !each.marked).map((each) => each.tagName)"


def closed_port():
    """A port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def mirror_of(port, keyspace, prefix="", **more):
    at = {"endpoint": f"http://127.0.0.1:{port}", "keyspace": keyspace, "prefix": prefix}
    return {"mirror": {"standpipe": at, "backoff_min": "100ms", "backoff_max": "200ms", **more}}


def configuration(upstream, nowhere):
    """Sources and mirrors of every kind of luck. YAML reads JSON."""
    report = server.CACHE / "ui-flows-report.csv"
    report.write_text("a,b\n1,2\n", "utf-8")
    file = server.CACHE / "ui-flows.yml"
    file.write_text(json.dumps({
        "keyspaces": {
            "flags": mirror_of(upstream, "flags"),
            "kept": mirror_of(upstream, "flags", on_delete="keep"),
            "lost": mirror_of(nowhere, "anything", "site-7/"),
            "plant": {"mirror": {"smartcore": {"endpoint": f"http://127.0.0.1:{nowhere}", "device": "test/controller", "publications": ["test:config", "test:state"]}}},
        },
        "sources": {
            "broken": {"rule": "0 0 0 1 1 *", "http": {"endpoint": f"http://127.0.0.1:{nowhere}/value"}},
            "hello": {"rule": "0 0 0 1 1 *", "static": {"value": "Hello, flows!"}},
            "often": {"rule": "* * * * * *", "static": {"value": "tick"}},
            "reports/daily": {"rule": "0 0 0 1 1 *", "file": {"path": str(report)}},
            "wrong": {"rule": "61 * * * * *", "static": {"value": "never"}},
        },
    }), "utf-8")
    return file, report


class Flows:
    """The view, with words for what a person sees there."""

    def __init__(self, checks, page, origin, client):
        self.checks, self.page, self.origin, self.client = checks, page, origin, client

    def goto(self, place="#/flows"):
        self.page.goto(f"{self.origin}/ui/{place}")

    def card(self, name):
        return self.page.locator(f".flow[data-name='{name}']")

    def fact(self, name, fact):
        """What stands under a fact of a card, or None where the card does not have it."""
        box = self.card(name).locator(".facts > div", has=self.page.locator(f"dt:text-is('{fact}')"))
        return box.locator("dd").inner_text() if box.count() else None

    def badges(self, name):
        return self.card(name).locator("header .badge").all_inner_texts()

    def wait_badges(self, name, *expected):
        try:
            wait_until(lambda: self.badges(name) == list(expected), 30, f"{name} shows {expected}")
        except TimeoutError:
            pass
        self.checks.equal(self.badges(name), list(expected), f"badges of {name}")

    def press(self, name, button):
        self.card(name).get_by_role("button", name=button, exact=True).click()

    def toast(self, text):
        self.page.locator(".toast", has_text=text).first.wait_for()
        self.checks.check(True, f"the page says “{text}”")

    def items(self, path, name):
        return {item[name]: item for item in json.loads(self.client.request("GET", path).body)["items"]}

    def picture(self, name):
        self.page.screenshot(path=PICTURES / f"ui-flows-{name}.png", full_page=True)


def sources(flows, report):
    checks, page = flows.checks, flows.page
    flows.goto()
    flows.wait_badges("hello", "ok")
    flows.wait_badges("broken", "failing")
    flows.wait_badges("wrong", "invalid")
    checks.check("5 sources" in page.locator(".summary").inner_text() and "2 failing" in page.locator(".summary").inner_text(), "the summary counts sources and failures")
    told = flows.items("/sources", "name")
    broken = flows.card("broken").inner_text()
    checks.check(told["broken"]["last_error"]["detail"] in broken and "source_failed" in broken, "a failure is told in the server's words")
    checks.check(told["wrong"]["reason"] in flows.card("wrong").inner_text(), "and why a source cannot run")
    checks.equal(flows.card("wrong").get_by_role("button", name="Run now").count(), 0, "buttons that run what cannot run")
    checks.equal((flows.fact("hello", "Value"), flows.fact("broken", "Value")), ("13 B", "none yet"), "sizes of the values")
    checks.equal((flows.fact("hello", "Runs"), flows.fact("broken", "Runs")), ("1", "1, 1 failed"), "runs")
    checks.check(re.fullmatch(r"in \d+ (days|h|min|s)", flows.fact("hello", "Next run")), f"when it runs next: {flows.fact('hello', 'Next run')}")
    exact = flows.card("hello").locator("time").first.get_attribute("title")
    checks.check(re.search(r"20\d\d.*:\d\d", exact), f"the exact time is in the tooltip: {exact}")
    ages = (lambda: flows.fact("hello", "Age"))
    before = ages()
    wait_until(lambda: ages() != before, 20, "the age ticks")
    checks.check(True, "the age ticks")
    # A run that goes well, with another value.
    report.write_text("a,b\n1,2\n3,4\n", "utf-8")
    flows.press("reports/daily", "Run now")
    flows.toast("reports/daily ran well: 12 B")
    checks.equal((flows.fact("reports/daily", "Value"), flows.fact("reports/daily", "Runs")), ("12 B", "2"), "after the run its card shows")
    checks.equal(flows.client.get("reports/daily").body, b"a,b\n1,2\n3,4\n", "and the value is the new one")
    # One that fails: the value stays and is stale.
    report.unlink()
    flows.press("reports/daily", "Run now")
    flows.toast("reports/daily failed")
    flows.wait_badges("reports/daily", "failing", "stale")
    checks.check("The last good value stays." in flows.card("reports/daily").inner_text(), "a failure says that the last good value stays")
    flows.card("reports/daily").get_by_text("Show the value").click()
    page.locator("pre.shown", has_text="3,4").wait_for()
    checks.check(True, "the card leads to the value")
    # Nobody presses anything: what changes is shown by itself.
    flows.goto()
    report.write_text("a,b\n", "utf-8")
    flows.wait_badges("reports/daily", "failing", "stale")
    checks.equal(flows.client.request("POST", "/sources/run/reports/daily").status, 202, "a run that somebody else asks for")
    flows.wait_badges("reports/daily", "ok")
    flows.card("reports/daily").get_by_text("Failed last").wait_for()
    checks.check(True, "and the failure before it is still told")


def stays_in_place(flows):
    """A refresh draws only what has changed: focus, opened lists and everything else outlive it."""
    checks, page = flows.checks, flows.page
    flows.goto()
    flows.wait_badges("often", "ok")
    pressed = flows.card("often").get_by_role("button", name="Run now")
    pressed.focus()
    flows.card("hello").evaluate(MARK)
    before = int(flows.fact("often", "Runs").replace(",", ""))
    wait_until(lambda: int(flows.fact("often", "Runs").replace(",", "")) > before + 1, 30, "the runs of a source of every second are counted on")
    checks.check(page.evaluate("document.activeElement.closest('.flow')?.dataset.name") == "often", "the focus outlives a refresh")
    checks.equal(flows.card("hello").evaluate(UNMARKED), [], "parts of an unchanged card that were drawn again")


def only_while_visible(flows):
    """A page in the background asks for nothing, and at once when it comes back."""
    checks, page = flows.checks, flows.page
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/sources") else None)
    # The page's own clock, so that nobody has to wait for it.
    page.clock.install()
    flows.goto()
    flows.wait_badges("often", "ok")
    with page.expect_request("**/sources"):
        page.clock.run_for(3_000)
    checks.check(True, "a page that is seen asks again by itself")
    page.evaluate("""() => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.away ?? false }); window.away = true;
      document.dispatchEvent(new Event('visibilitychange')); }""")
    # What was asked for before is answered first.
    page.wait_for_load_state("networkidle")
    asked.clear()
    page.clock.run_for(20_000)
    page.wait_for_load_state("networkidle")
    checks.equal(len(asked), 0, "requests of a page that nobody sees, in 20 s of its clock")
    with page.expect_request("**/sources"):
        page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")
    checks.check(True, "and it asks at once when it is seen again")


def mirrors(flows, upstream, restart):
    checks, page = flows.checks, flows.page
    flows.goto()
    flows.wait_badges("flags", "following")
    checks.equal((flows.fact("flags", "Age"), flows.fact("flags", "Next attempt")), ("live", None), "what follows is")
    flows.wait_badges("lost", "waiting", "stale")
    text = flows.card("lost").inner_text()
    checks.check("site-7/" in text and "It cannot be followed now" in text and "refused" in text, "one whose upstream is away says whom it follows and why not")
    checks.check(flows.fact("lost", "Next attempt") is not None and flows.fact("lost", "Age") == "unknown", "when it tries again, and that its age is unknown")
    checks.check("2 not followed" in page.locator(".summary").inner_text(), "the summary says that two are not followed")
    flows.card("plant").get_by_text("2 publications").click()
    listed = flows.card("plant").locator(".flow-keys li").all_inner_texts()
    checks.check(len(listed) == 2 and "test:config" in listed[0] and "waiting" in listed[0] and "asked for again" in listed[0], f"publications are listed, each with its state: {listed}")
    # An open list goes on by itself.
    client = upstream.client()
    client.request("PUT", "/keyspaces/flags/keys/gone/soon", b"1")
    client.request("PUT", "/keyspaces/flags/keys/gone/too", b"2")
    wait_until(lambda: flows.client.request("GET", "/keyspaces/kept/keys/gone/too").status == 200, 30, "the mirror has the keys")
    client.request("DELETE", "/keyspaces/flags/keys/gone/soon")
    flows.card("kept").get_by_text("1 key with something to say").click()
    rows = flows.card("kept").locator(".flow-keys li")
    rows.filter(has_text="gone/soon").get_by_text("deleted upstream").wait_for()
    client.request("DELETE", "/keyspaces/flags/keys/gone/too")
    rows.filter(has_text="gone/too").get_by_text("deleted upstream").wait_for()
    checks.equal(rows.count(), 2, "keys that were deleted upstream and are kept, in a list that stayed open")
    flows.picture("mirrors")
    upstream.stop()
    flows.wait_badges("flags", "waiting", "stale")
    wait_until(lambda: re.fullmatch(r"[\d.]+ (s|min)", flows.fact("flags", "Age") or ""), 20, "the age counts from when it was lost")
    checks.check(True, "when the upstream goes away, the page says how old the copy is")
    restart()
    flows.wait_badges("flags", "following")
    checks.equal(flows.fact("flags", "Age"), "live", "and when it is back, the age is")
    flows.card("flags").get_by_text("Browse").click()
    page.locator(".keys a .name", has_text="dark-mode").wait_for()
    checks.equal(page.get_by_label("Keyspace").input_value(), "flags", "Browse leads into the keyspace")


def search(flows):
    checks, page = flows.checks, flows.page
    flows.goto()
    flows.wait_badges("hello", "ok")
    shown = (lambda: [name for name in page.locator(".flow").evaluate_all("cards => cards.map((card) => card.dataset.name)")])
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("repor")
    checks.equal(shown(), ["reports/daily"], "names that contain repor")
    page.get_by_label("Name", exact=True).fill("nothing has this name")
    page.get_by_text("No such name").wait_for()
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Only what needs care").check()
    checks.equal(shown(), ["broken", "wrong", "lost", "plant"], "what needs care")
    page.get_by_label("Only what needs care").uncheck()
    checks.equal(len(shown()), 9, "and everything again")


def server_away(flows):
    """What was read stays, and the page says since when it is old; what was never read is not told to be absent."""
    checks, page = flows.checks, flows.page
    for path in ("**/sources", "**/mirrors", "**/sinks"):
        page.route(path, lambda route: route.abort())
    flows.goto()
    page.locator(".empty", has_text="The server does not answer").get_by_role("button", name="Try again").wait_for()
    for path in ("**/sinks", "**/mirrors"):
        page.unroute(path)
    flows.wait_badges("flags", "following")
    told = page.locator("main").inner_text()
    checks.check("Sources: The server does not answer" in told and "No source is configured" not in told, "what could not be read is not told to be absent")
    page.unroute("**/sources")
    flows.goto()
    flows.wait_badges("hello", "ok")
    page.route("**/sources", lambda route: route.abort())
    page.locator("[role=alert]", has_text="What is shown was read").wait_for()
    checks.check("The server does not answer" in page.locator("[role=alert]").first.inner_text() and flows.card("hello").count() == 1, "without an answer the last one stays, and the page says so")
    flows.picture("no-answer")
    checks.check("Sources: " in page.locator("[role=alert]").first.inner_text(), "and of what")
    page.unroute("**/sources")
    page.locator("[role=alert]", has_text="What is shown was read").wait_for(state="hidden")
    checks.check(True, "and no more once it answers")


def looks(flows):
    """Both themes, two widths."""
    checks, page = flows.checks, flows.page
    for width, height in ((1280, 800), (360, 740)):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            flows.goto()
            flows.wait_badges("lost", "waiting", "stale")
            look_closer(checks, page, f"flows, {theme}, {width}", width)
            flows.picture(f"{width}-{theme}")


def look_closer(checks, page, name, width):
    wide = page.evaluate("document.documentElement.scrollWidth")
    checks.check(wide <= width, f"{name}: {wide} wide")
    pale, nameless = page.evaluate(PALE), page.evaluate(NAMELESS)
    checks.check(not pale, f"{name}: every text has contrast" + "".join(f"; {each}" for each in pale[:4]))
    checks.check(not nameless, f"{name}: every control has a name" + "".join(f"; {each}" for each in nameless[:4]))


def nothing_moves(flows):
    """A server without any: the page says how one is configured."""
    checks, page = flows.checks, flows.page
    flows.goto()
    page.get_by_text("Nothing moves by itself yet").wait_for()
    told = page.locator("main").inner_text()
    checks.check(all(f"No {kind} is configured" in told for kind in ("source", "mirror", "sink")), "without any, the page says so")
    examples = page.locator(".how pre:visible").all_inner_texts()
    checks.check(len(examples) == 3 and all("\n" in example for example in examples), f"and how one is configured, in {len(examples)} examples")
    flows.picture("none")
    page.set_viewport_size({"width": 360, "height": 740})
    look_closer(checks, page, "no flows, 360", 360)


def many(flows):
    """More of a kind than the page shows at once."""
    checks, page = flows.checks, flows.page
    flows.goto()
    page.get_by_text("These are the first 200 of 201. Search to see others.").wait_for()
    checks.equal((page.locator(".flow").count(), flows.card("source-200").count()), (200, 0), "cards of 201 sources, and of the last one")
    page.get_by_label("Name", exact=True).fill("source-200")
    flows.card("source-200").wait_for()
    checks.equal((page.locator(".flow").count(), page.get_by_text("These are the first").count()), (1, 0), "the last one is found")


def step(checks, watched, target, name, does, *more):
    page = watched.page()
    try:
        does(Flows(checks, page, watched.origin, target.client()), *more)
    except Exception as error:
        page.screenshot(path=PICTURES / f"ui-failed-flows-{name}.png")
        checks.check(False, f"flows, {name}: {error}")
    page.close()


def with_flows(checks: Checks, browser):
    nowhere = closed_port()
    folder = server.fresh("ui-flows-upstream")
    running = {"upstream": Server(folder)}
    port = running["upstream"].port

    def restart():
        # The same port again: the mirror's file names it.
        running["upstream"] = Server(folder, arguments=("-e", f"127.0.0.1:{port}"))

    with running["upstream"]:
        client = running["upstream"].client()
        client.request("PUT", "/keyspaces/flags", b"{}", {"Content-Type": "application/json"})
        client.request("PUT", "/keyspaces/flags/keys/dark-mode", b"on")
        file, report = configuration(port, nowhere)
        data = server.fresh("ui-flows")
        try:
            with Server(data, arguments=("-c", file)) as target:
                watched = Watched(browser, f"http://127.0.0.1:{target.port}")
                step(checks, watched, target, "sources", sources, report)
                step(checks, watched, target, "in-place", stays_in_place)
                step(checks, watched, target, "visible", only_while_visible)
                step(checks, watched, target, "search", search)
                step(checks, watched, target, "away", server_away)
                step(checks, watched, target, "looks", looks)
                step(checks, watched, target, "mirrors", mirrors, running["upstream"], restart)
                watched.check(checks, "/ui/ with flows")
                checks.ends_well(target)
        finally:
            with running["upstream"]:
                pass
    with Server(server.fresh("ui-flows-none")) as target:
        watched = Watched(browser, f"http://127.0.0.1:{target.port}")
        step(checks, watched, target, "none", nothing_moves)
        watched.check(checks, "/ui/ without flows")
        checks.ends_well(target)
    file.write_text(json.dumps({"sources": {f"source-{number:03}": {"static": {"value": "x"}} for number in range(201)}}), "utf-8")
    with Server(server.fresh("ui-flows-many"), arguments=("-c", file)) as target:
        watched = Watched(browser, f"http://127.0.0.1:{target.port}")
        step(checks, watched, target, "many", many)
        watched.check(checks, "/ui/ with many flows")
        checks.ends_well(target)
    for name in ("ui-flows", "ui-flows-upstream", "ui-flows-none", "ui-flows-many"):
        shutil.rmtree(server.CACHE / name, ignore_errors=True)
    for left in (file, report):
        left.unlink(missing_ok=True)
