// One card of the data flows: what a source, a mirror and a sink have in common. A card lives as long as what it shows: only
// parts whose content has changed are drawn again, so that focus, selection and opened lists outlive every refresh.

import { clock, el, toast } from "./dom.js";
import { ago, moment, seconds, until } from "./format.js";

/** Two readings of one moment differ by the time that the answers took; below this they are the same moment. */
const SAME_MS = 1500;

/** A part of a page: `show(value, make)` fills `element` with `make()` when `value` is another one than before. */
export function slot(element) {
  let shown;
  const show = (value, make) => {
    const text = JSON.stringify(value) ?? "";
    if (text === shown) return;
    shown = text;
    element.replaceChildren(...[make()].flat(Infinity).filter((part) => part !== null && part !== undefined && part !== false));
    element.hidden = !element.childNodes.length;
  };
  return { element, show };
}

/** When it happened, as seen from now. */
export function since(text) {
  return clock(text, ago, moment(text));
}

/** When it will happen, as seen from now. */
export function coming(text) {
  return clock(text, until, moment(text));
}

/** How long ago a moment was, without a word about it: an age. */
export function elapsed(text) {
  return clock(text, (at) => {
    const past = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
    return past ? seconds(past) : "0 s";
  }, moment(text));
}

/** The moment that an age in milliseconds, just received, tells of; `before` where that is the same but for the way here. */
export function momentOf(age, before) {
  if (age === null) return null;
  const at = Date.now() - age;
  return before && Math.abs(Date.parse(before) - at) < SAME_MS ? before : new Date(at).toISOString();
}

/** A badge; `kind` is a class: `good`, `warn`, `bad`, or nothing. */
export function badge(text, kind, title) {
  return el(`span.badge${kind ? `.${kind}` : ""}`, { title }, text);
}

/** The address of a watch of a keyspace. */
export function watchAddress(keyspace) {
  return `#/watch/${encodeURIComponent(keyspace)}`;
}

/** Takes a button out of use, or puts it back. Unlike a disabled one it keeps the focus. */
export function setOff(pressed, off) {
  if (off) pressed.setAttribute("aria-disabled", "true");
  else pressed.removeAttribute("aria-disabled");
}

/** A card with a name, badges, a sentence, facts, what is wrong, what can be done, and what can be opened. */
export class Card {
  constructor(name) {
    this.name = name;
    this.badges = slot(el("span.badges"));
    this.about = slot(el("p.about"));
    this.list = el("dl.facts");
    this.facts = new Map();
    this.trouble = slot(el("div.trouble"));
    this.buttons = el("div.buttons");
    this.more = el("div.more");
    this.element = el("article.flow.card", { "data-name": name, "aria-label": name },
      el("header", {}, el("h3", {}, name), this.badges.element), this.about.element, this.list, this.trouble.element, this.more, this.buttons);
  }

  /** Facts in their order: `[name, value, make, title]`. Those without a value are left out. */
  showFacts(facts) {
    const told = facts.filter(([, value]) => value !== null && value !== undefined);
    const names = told.map(([name]) => name);
    for (const [name, value, make, title] of told) {
      if (!this.facts.has(name)) {
        const fact = slot(el("dd"));
        this.facts.set(name, { ...fact, box: el("div", { title }, el("dt", {}, name), fact.element) });
      }
      this.facts.get(name).show(value, make);
    }
    if (this.order === names.join()) return;
    this.order = names.join();
    this.list.replaceChildren(...names.map((name) => this.facts.get(name).box));
  }

  /** Does what a button says, and shows that meanwhile: the button cannot be pressed again until then. What goes wrong is told. */
  async act(pressed, meanwhile, does) {
    if (pressed.getAttribute("aria-disabled")) return;
    const text = pressed.textContent;
    setOff(pressed, true);
    pressed.textContent = meanwhile;
    this.acting = true;
    try {
      await does();
    } catch (error) {
      if (error.name !== "AbortError") toast(`${error.title}. ${error.detail}`, "wrong");
    }
    this.acting = false;
    pressed.textContent = text;
    setOff(pressed, false);
  }
}
