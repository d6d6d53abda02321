"""How /ui/ looks and is reached: by keyboard alone, dark and light, at a phone's width; names, contrast and focus are measured
in the page itself."""

from .browser import PICTURES

VIEWS = ("keys", "watch", "keyspaces", "flows", "figures")

# What can be pressed or filled and has no name for somebody who does not see it.
NAMELESS = """() => [...document.querySelectorAll('button, a, input:not([type=hidden]), select, textarea')]
  .filter((each) => each.checkVisibility() && !(each.getAttribute('aria-label') || each.textContent.trim() || each.title
    || [...(each.labels ?? [])].some((label) => label.textContent.trim())))
  .map((each) => each.outerHTML.slice(0, 120))"""

# Texts whose contrast with what lies behind them is below 4.5 (WCAG 2.2, 1.4.3). Controls that are off are exempt.
PALE = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')].filter((each) => each.checkVisibility() && !each.closest('svg, option, noscript') && !each.closest(':disabled')
    && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((each) => {
      const [a, b] = [light(parse(getComputedStyle(each).color)), light(behind(each))].sort((x, y) => y - x);
      return { ratio: (a + 0.05) / (b + 0.05), said: `${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 30)}` };
    }).filter(({ ratio }) => ratio < 4.5).map(({ ratio, said }) => `${ratio.toFixed(2)} ${said}`);
}"""

FOCUS = """() => { const at = document.activeElement; const style = getComputedStyle(at);
  return { name: at.getAttribute('aria-label') || at.textContent.trim() || at.title || at.id, tag: at.tagName,
    visible: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 }; }"""

# Closes the dialog and presses a key before its `close` event, as a browser under load does with two quick keys.
AT_ONCE = """(key) => { const box = document.querySelector('dialog[open]'); box.close(); const at = document.activeElement;
  at.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })); return box.contains(at); }"""


def keyboard_only(walk):
    """No mouse from the first key to the saved value and back."""
    checks, page, client = walk.checks, walk.page, walk.client
    client.put("keyboard/one", b"1", "text/plain")
    client.put("keyboard/two", b"2", "text/plain")
    walk.goto("")
    walk.wait_keys("blob.bin")
    stops, unseen = [], []
    for _ in range(16):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        stops.append(stop["name"])
        if not stop["visible"]:
            unseen.append(stop["name"])
    checks.equal(stops[:7], ["Skip to the content", "Standpipe", "Keys", "Watch", "Keyspaces", "Flows", "Figures"], "the focus goes first to")
    checks.check(not unseen, f"every one of {len(stops)} places shows that it has the focus" + "".join(f"; not {name}" for name in unseen))
    # The first press of / may still be in the field's own key handling: it is a key of the page only outside of fields.
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("keyboard/")
    walk.wait_keys("keyboard/one")
    page.wait_for_function("() => document.querySelectorAll('.keys a').length === 2")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.locator(".entry h1", has_text="keyboard/two").wait_for()
    checks.check(True, "the arrow keys and Enter open the second key")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUS)["name"] == "Edit":
            break
    checks.equal(page.evaluate(FOCUS)["name"], "Edit", "Tab leads to")
    page.keyboard.press("Enter")
    page.get_by_label("Value", exact=True).wait_for()
    page.keyboard.press("Control+End")
    page.keyboard.type(" and more")
    page.keyboard.press("Control+Enter")
    walk.toast("Saved")
    checks.equal(client.get("keyboard/two").body, b"2 and more", "typed and saved by keyboard")
    page.keyboard.press("Escape")
    page.get_by_text("No key is open").wait_for()
    checks.check(page.evaluate("document.activeElement.dataset.key") == "keyboard/two", "Escape leads back to the list")
    page.keyboard.press("n")
    walk.dialog().get_by_label("Key", exact=True).wait_for()
    page.keyboard.type("three")
    page.keyboard.press("Enter")
    walk.toast("Created")
    checks.equal(client.get("keyboard/three").status, 200, "a key made with n, a name and Enter")
    page.keyboard.press("?")
    walk.dialog()
    walk.picture("help")
    # A key is the page's as soon as the dialog is closed, also while the focus has not left it yet.
    before = page.evaluate(AT_ONCE, "2")
    checks.equal(before, True, "the focus was still in the closed dialog")
    page.locator(".views a[aria-current][href='#/watch']").wait_for()
    page.keyboard.press("?")
    walk.dialog()
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="hidden")
    for number, view in enumerate(VIEWS, 1):
        page.keyboard.press(str(number))
        page.locator(f".views a[aria-current][href='#/{view}']").wait_for()
    checks.check(True, "1 to 5 lead through the views")


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def themes(walk):
    """As the system has it, then as the switch says, over a reload."""
    checks, page = walk.checks, walk.page
    walk.goto("")
    walk.wait_keys("blob.bin")
    page.emulate_media(color_scheme="light")
    light = background(page)
    page.emulate_media(color_scheme="dark")
    dark = background(page)
    checks.check(light != dark, f"light {light} and dark {dark} follow the system")
    page.emulate_media(color_scheme="light")
    switch = page.locator("#theme")
    switch.click()
    checks.equal(background(page), dark, "the switch says dark")
    page.reload()
    checks.equal(background(page), dark, "and it stays so")
    switch.click()
    page.emulate_media(color_scheme="dark")
    checks.equal(background(page), light, "the switch says light")
    switch.click()
    checks.equal(background(page), dark, "and as the system has it again")


def every_view(walk):
    """Each view in both themes and two widths: nothing sticks out, everything has a name, all text can be read."""
    checks, page = walk.checks, walk.page
    places = {"keys": "#/keys", "entry": "#/keys/default?key=config%2Fapp.json", "watch": "#/watch", "keyspaces": "#/keyspaces", "flows": "#/flows", "figures": "#/figures"}
    for width, height in ((1280, 800), (360, 740)):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            for name, place in places.items():
                walk.goto(place)
                page.locator("main .keys a:visible, main .entry pre, main .events, main .space, main .how, main .plot .grid").first.wait_for(state="attached")
                wide = page.evaluate("document.documentElement.scrollWidth")
                checks.check(wide <= width, f"{name}, {theme}, {width} pixels: {wide} wide")
                pale, nameless = page.evaluate(PALE), page.evaluate(NAMELESS)
                checks.check(not pale, f"{name}, {theme}, {width}: every text has contrast" + "".join(f"; {each}" for each in pale[:4]))
                checks.check(not nameless, f"{name}, {theme}, {width}: every control has a name" + "".join(f"; {each}" for each in nameless[:4]))
                page.screenshot(path=PICTURES / f"ui-{width}-{theme}-{name}.png")
    walk.goto("#/keys/default?key=config%2Fapp.json")
    page.locator(".entry h1").wait_for()
    checks.check(not page.locator(".list-pane").is_visible(), "on a phone an open entry takes the list's place")
    page.get_by_role("button", name="‹ Keys").click()
    walk.wait_keys("blob.bin")
    checks.check(not page.locator(".entry-pane").is_visible(), "and gives it back")
    page.get_by_role("button", name="New key").first.click()
    walk.dialog()
    wide = page.evaluate("document.querySelector('dialog').getBoundingClientRect().right")
    checks.check(wide <= 360, f"a dialog fits: {wide}")
    page.screenshot(path=PICTURES / "ui-360-dialog.png")
