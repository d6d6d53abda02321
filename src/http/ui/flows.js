// Data flows: what moves by itself, as the configuration file says: sources, mirrors and sinks. It is read again every two
// seconds while the page is visible, and drawn again only where it has changed.

import * as api from "./api.js";
import { button, closed, copy, el, empty, explain, failed, icon, iconButton, loading } from "./dom.js";
import { since, slot } from "./flow.js";
import { count } from "./format.js";
import { mirrors } from "./mirrors.js";
import { sinks } from "./sinks.js";
import { sources } from "./sources.js";

const KINDS = [sources, mirrors, sinks];
const EVERY_MS = 2000;
/** A server that takes long to answer is asked less often: it is left alone this many times as long as it took. */
const REST = 5;
/** More cards of a kind than this are found by searching. */
const SHOWN = 200;
/** So few can be seen at a glance; from there on one can search. */
const AT_A_GLANCE = 6;

/** Opens the view in `main`. */
export function open(main) {
  return new Flows(main);
}

/** The cards of one kind. */
class Section {
  constructor(kind, view) {
    this.kind = kind;
    this.view = view;
    this.cards = new Map();
    /** What was read last, and when; null until something was. */
    this.items = null;
    this.at = null;
    this.list = el("div.flow-list");
    this.left = el("p.hint", { hidden: true });
    this.heading = el("h2", { tabIndex: -1 }, kind.title);
    this.element = el("section", { "aria-label": kind.title, hidden: true }, this.heading, el("p.soft", {}, kind.says), this.list, this.left);
    this.how = el("details.how.card", { hidden: true },
      el("summary", {}, kind.none), el("p.soft", {}, kind.how),
      el("div.example", {}, el("pre", { tabIndex: 0, role: "region", "aria-label": `How to configure ${kind.title.toLowerCase()}` }, kind.example), iconButton("copy", "Copy the example", () => copy(kind.example))));
  }

  take(items) {
    this.items = items;
    this.at = new Date().toISOString();
  }

  show() {
    const wanted = (this.items ?? []).filter((item) => this.view.wants(this.kind, item));
    const shown = wanted.slice(0, SHOWN);
    const names = new Set(shown.map(this.kind.name));
    for (const [name, card] of this.cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.cards.delete(name);
    }
    shown.forEach((item, at) => {
      const name = this.kind.name(item);
      if (!this.cards.has(name)) this.cards.set(name, this.kind.card(item, this.view));
      const card = this.cards.get(name);
      card.show(item);
      // What is in its place stays untouched: an element that is moved loses the focus.
      if (this.list.children[at] !== card.element) this.list.insertBefore(card.element, this.list.children[at] ?? null);
    });
    this.left.hidden = wanted.length <= SHOWN;
    this.left.textContent = this.left.hidden ? "" : `These are the first ${SHOWN} of ${count(wanted.length)}. Search to see others.`;
    this.element.hidden = !shown.length;
  }
}

class Flows {
  constructor(main) {
    this.leaving = new AbortController();
    this.signal = this.leaving.signal;
    this.absent = new Set();
    this.sections = new Map(KINDS.map((kind) => [kind, new Section(kind, this)]));
    this.search = el("input", { type: "search", placeholder: "Names that contain…", "aria-label": "Name", autocomplete: "off", spellcheck: false, oninput: () => this.draw() });
    this.careOnly = el("input", { type: "checkbox", onchange: () => this.draw() });
    this.filter = el("div.flow-filter", { hidden: true }, el("div.search", {}, icon("search"), this.search), el("label.check", {}, this.careOnly, "Only what needs care"));
    this.summary = slot(el("nav.summary", { "aria-label": "Summary" }));
    this.problem = slot(el("div", { role: "alert" }));
    this.place = el("div", {}, loading(6));
    this.failure = slot(el("div"));
    this.nothing = slot(el("div"));
    this.body = el("div.flows", {}, [...this.sections.values()].map(({ element }) => element), this.nothing.element, [...this.sections.values()].map(({ how }) => how));
    main.append(el("div.wide", {},
      el("div.head", {}, el("h1", {}, "Data flows"), this.summary.element, iconButton("refresh", "Load again (r)", () => this.begin())),
      this.problem.element, this.filter, this.place));
    this.comesBack = () => { if (!document.hidden) this.load(); };
    document.addEventListener("visibilitychange", this.comesBack);
    this.begin();
  }

  /** Loads, and may ask for a token. */
  begin() {
    this.isClosed = false;
    return this.load({ silent: false });
  }

  /** Reads everything and draws it; who asks while that goes on waits for the same answers. */
  load(how = { silent: true }) {
    if (this.isClosed) return Promise.resolve();
    this.going ??= this.loadNow(how).finally(() => { this.going = null; });
    return this.going;
  }

  async loadNow({ silent }) {
    clearTimeout(this.timer);
    const began = performance.now();
    const asked = KINDS.filter((kind) => !this.absent.has(kind));
    try {
      const answers = await Promise.all(asked.map((kind) => this.read(kind, silent)));
      if (this.signal.aborted) return;
      this.take(asked, answers);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      return;
    }
    this.plan(Math.max(EVERY_MS, REST * (performance.now() - began)));
  }

  plan(after) {
    if (this.isClosed || this.signal.aborted) return;
    this.timer = setTimeout(() => (document.hidden ? this.plan(EVERY_MS) : this.load()), after);
  }

  /** The items of a kind, or the error. A server that does not have the kind is not asked for it again. */
  async read(kind, silent) {
    try {
      return (await api.json("GET", kind.path, { signal: this.signal, silent })).items;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error.status === 404) this.absent.add(kind);
      return error.status === 404 ? [] : error;
    }
  }

  take(asked, answers) {
    const errors = answers.filter((answer) => answer instanceof Error);
    const denied = errors.find(({ status }) => status === 401 || status === 403);
    this.isClosed = denied !== undefined;
    if (denied) {
      this.fill(closed("Data flows need a token with the verb admin", denied));
      return;
    }
    asked.forEach((kind, at) => {
      if (!(answers[at] instanceof Error)) this.sections.get(kind).take(answers[at]);
    });
    if (![...this.sections.values()].some((section) => section.items)) {
      this.failure.show(errors[0].message, () => failed(errors[0], () => this.begin()));
      this.fill(this.failure.element);
      return;
    }
    this.tell(asked.map((kind, at) => ({ section: this.sections.get(kind), error: answers[at] })).filter(({ error }) => error instanceof Error), asked.length);
    this.fill(this.body);
    this.draw();
  }

  /** What could not be read again, why, and how old what is shown of it is. */
  tell(missing, asked) {
    const whys = new Map();
    for (const { section, error } of missing) {
      const why = whys.get(error.message) ?? { error, sections: [] };
      why.sections.push(section);
      whys.set(error.message, why);
    }
    const told = [...whys.values()].map(({ error, sections }) => ({ error, of: sections.length < asked ? sections.map(({ kind }) => kind.title).join(", ") : null, at: sections[0].at }));
    this.problem.show(told.map(({ error, of, at }) => [error.message, of, at]), () => told.map(({ error, of, at }) => {
      const why = explain(error);
      if (of) why.prepend(`${of}: `);
      return el("div.failure", {}, why, at ? el("p", {}, "What is shown was read ", since(at), ".") : null);
    }));
  }

  fill(content) {
    if (this.place.firstChild === content) return;
    this.place.replaceChildren(content);
    if (content === this.body) return;
    this.problem.show(null, () => []);
    this.summary.show(null, () => []);
    this.filter.hidden = true;
  }

  /** Whether an item is among those that are looked for. */
  wants(kind, item) {
    const text = this.search.value.trim().toLowerCase();
    return (!this.careOnly.checked || kind.isTroubled(item)) && (!text || kind.name(item).toLowerCase().includes(text));
  }

  draw() {
    const sections = [...this.sections.values()];
    for (const section of sections) section.show();
    const filled = sections.filter(({ items }) => items?.length);
    const bare = sections.filter(({ items, kind }) => items?.length === 0 && !this.absent.has(kind));
    const all = filled.reduce((sum, { items }) => sum + items.length, 0);
    this.filter.hidden = all <= AT_A_GLANCE && !this.careOnly.checked && !this.search.value;
    this.summary.show(filled.map(({ kind, items }) => kind.sum(items)), () => filled.map((section) => jump(section)));
    const isKnown = sections.every(({ items }) => items);
    this.sayNothing(sections.some(({ cards }) => cards.size), all, isKnown);
    for (const section of sections) {
      const was = section.how.hidden;
      section.how.hidden = !bare.includes(section);
      // Where there is nothing at all, how to begin is what one came for.
      if (was && !section.how.hidden) section.how.open = !all && isKnown;
    }
  }

  sayNothing(isShown, all, isKnown) {
    const [care, text] = [this.careOnly.checked, this.search.value !== ""];
    this.nothing.show([isShown, all > 0, isKnown, care, text], () => {
      if (isShown || (!all && !isKnown)) return [];
      if (!all) return el("div.lead", {}, el("h2", {}, "Nothing moves by itself yet"), el("p.soft", {}, "Values can be fetched by the clock, keyspaces can follow others, and changes can be passed on. The operator's configuration file says so; no request can."));
      const clear = button("Show all", "", () => {
        this.search.value = "";
        this.careOnly.checked = false;
        this.draw();
      });
      return care && !text ? empty("Nothing needs care", "Everything that moves by itself does so.", clear) : empty("No such name", "Nothing that is looked for has it.", clear);
    });
  }

  update() {}

  /** The keys of this view. Says whether it was one. */
  onKey(event) {
    if (event.key === "r") this.begin();
    else if (event.key === "/" && !this.filter.hidden) this.search.focus();
    else return false;
    return true;
  }

  close() {
    this.leaving.abort();
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.comesBack);
  }
}

/** How many there are of a kind, what is wrong with them, and the way there. */
function jump({ kind, items, heading }) {
  const { text, bad } = kind.sum(items);
  const go = () => {
    heading.scrollIntoView({ block: "start" });
    heading.focus({ preventScroll: true });
  };
  return el("button.quiet", { type: "button", onclick: go }, text, bad ? el("span.badge.bad", {}, bad) : el("span.badge.good", {}, "well"));
}
