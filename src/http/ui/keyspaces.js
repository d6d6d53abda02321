// Keyspaces: what there is, what each promises, and making, changing, emptying and dropping them.

import * as api from "./api.js";
import { button, dialog, el, empty, failed, field, icon, iconButton, loading, select, toast } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { address } from "./keys.js";

const PROMISES = {
  synced: "On disk before the answer",
  written: "Handed to the system at once, on disk within a second",
  memory: "Never logged; empty after a restart",
};

/** Opens the view in `main`. */
export function open(main) {
  return new Keyspaces(main);
}

class Keyspaces {
  constructor(main) {
    this.leaving = new AbortController();
    this.place = el("div");
    main.append(el("div.wide", {},
      el("div.head", {}, el("h1", {}, "Keyspaces"), iconButton("refresh", "Load again (r)", () => this.load()),
        el("button.primary", { type: "button", onclick: () => this.create(), title: "New keyspace (n)" }, icon("plus"), "New keyspace")),
      this.place));
    this.load();
  }

  async load() {
    if (!this.place.childElementCount) this.place.replaceChildren(loading(6));
    try {
      const items = await api.keyspaces({ signal: this.leaving.signal });
      if (items.length) this.place.replaceChildren(el("div.spaces", {}, items.map((item) => this.card(item))));
      else this.place.replaceChildren(empty("No keyspace", "This token may see none."));
    } catch (error) {
      if (error.name !== "AbortError") this.place.replaceChildren(failed(error, () => this.load()));
    }
  }

  card(space) {
    const { name, policy } = space;
    const badges = [
      el("span.badge.good", { title: PROMISES[policy.durability] }, policy.durability),
      policy.ttl ? el("span.badge", { title: "Values leave after this time unless they say otherwise" }, `ttl ${policy.ttl}`) : null,
      policy.max_bytes ? el("span.badge", { title: "What happens when it is full" }, policy.eviction === "none" ? "refuses when full" : "evicts when full") : null,
      policy.client_max_age ? el("span.badge", { title: "Browsers and caches may keep a value that long without asking" }, `max-age ${policy.client_max_age}`) : null,
      space.defined_by_file ? el("span.badge.warn", { title: "The configuration file defines it; it cannot be changed here" }, "from the file") : null,
    ];
    const most = policy.max_bytes;
    return el("article.space.card", { "data-name": name },
      el("header", {}, el("h2", {}, name), el("div.badges", {}, badges.filter(Boolean))),
      el("dl.numbers", {},
        el("div", {}, el("dt", {}, "Keys"), el("dd", {}, count(space.keys))),
        el("div", {}, el("dt", {}, "Memory"), el("dd", {}, bytes(space.bytes), most ? el("small", {}, ` of ${bytes(most)}`) : null))),
      most ? el("progress", { max: most, value: Math.min(space.bytes, most), "aria-label": "Memory used" }) : null,
      el("div.buttons", {},
        el("a.button", { href: address(name) }, "Browse"),
        el("a.button", { href: `#/watch/${encodeURIComponent(name)}` }, "Watch"),
        space.defined_by_file ? null : button("Change", "", () => this.change(space)),
        button("Empty", "away", () => this.flush(space)),
        name === "default" || space.defined_by_file ? null : button("Drop", "away", () => this.drop(space))));
  }

  /** The form of a policy. */
  form(policy) {
    const controls = {
      durability: select(Object.entries(PROMISES).map(([key]) => [key, key]), policy.durability ?? "synced"),
      ttl: el("input", { value: policy.ttl ?? "", placeholder: "none", autocomplete: "off", spellcheck: false }),
      max_bytes: el("input", { value: policy.max_bytes ? sized(policy.max_bytes) : "", placeholder: "no limit", autocomplete: "off", spellcheck: false }),
      eviction: select([["sieve", "evict (sieve)"], ["none", "refuse writes"]], policy.eviction ?? "sieve"),
      client_max_age: el("input", { value: policy.client_max_age ?? "", placeholder: "always ask", autocomplete: "off", spellcheck: false }),
    };
    const durability = field("Durability", controls.durability, PROMISES[controls.durability.value]);
    controls.durability.addEventListener("change", () => {
      durability.querySelector(".hint").textContent = PROMISES[controls.durability.value];
    });
    const box = el("div.stack", {}, durability,
      el("div.pair", {}, field("Values leave after", controls.ttl, "90s, 15m, 7d"), field("Client max-age", controls.client_max_age, "Caches may keep it so long")),
      el("div.pair", {}, field("Memory limit", controls.max_bytes, "64MiB, or bytes"), field("When full", controls.eviction)));
    const read = () => {
      const told = Object.entries(controls).map(([name, control]) => [name, control.value.trim()]).filter(([, value]) => value !== "");
      // A number of bytes is a number; everything else is text.
      return Object.fromEntries(told.map(([name, value]) => [name, name === "max_bytes" && /^\d+$/.test(value) ? Number(value) : value]));
    };
    return { box, read };
  }

  async create() {
    const name = el("input.mono", { required: true, pattern: "[a-z0-9_\\-]{1,64}", title: "1 to 64 of a-z, 0-9, _ and -", autocomplete: "off", spellcheck: false, autocapitalize: "off" });
    const form = this.form({});
    const done = await dialog({
      title: "New keyspace",
      body: el("div.stack", {}, field("Name", name, "a-z, 0-9, _ and -"), form.box),
      action: "Create",
      submit: async () => {
        await api.sendJson("PUT", api.path("keyspaces", name.value), form.read(), { headers: {} });
        return name.value;
      },
    });
    if (done) this.after(`${done} is there`);
  }

  async change({ name, policy }) {
    const form = this.form(policy);
    const done = await dialog({
      title: `Change ${name}`,
      body: form.box,
      action: "Change",
      submit: async () => {
        await api.sendJson("PUT", api.path("keyspaces", name), form.read());
        return true;
      },
    });
    if (done) this.after(`${name} is changed`);
  }

  async flush({ name, keys }) {
    const flushed = await dialog({
      title: `Empty ${name}?`,
      body: el("p", {}, `All ${plural(keys, "key")} of `, el("code", {}, name), " are deleted; the keyspace stays. This cannot be undone."),
      action: "Empty it",
      danger: true,
      submit: async () => (await api.json("POST", `${api.path("keyspaces", name)}/flush`)).flushed,
    });
    if (flushed !== undefined) this.after(`${plural(flushed, "key")} deleted`);
  }

  async drop({ name, keys }) {
    const typed = el("input.mono", { required: true, pattern: name, title: `Type ${name}`, autocomplete: "off", spellcheck: false, autocapitalize: "off" });
    const done = await dialog({
      title: `Drop ${name}?`,
      body: el("div.stack", {}, el("p", {}, "The keyspace and its ", plural(keys, "key"), " are gone for good."), field(`Type its name, ${name}, to confirm`, typed)),
      action: "Drop it",
      danger: true,
      submit: async () => {
        await api.request("DELETE", api.path("keyspaces", name));
        return true;
      },
    });
    if (done) this.after(`${name} is dropped`);
  }

  after(said) {
    toast(said);
    this.load();
  }

  update() {}

  /** The keys of this view. Says whether it was one. */
  onKey(event) {
    const does = { n: () => this.create(), r: () => this.load() }[event.key];
    does?.();
    return does !== undefined;
  }

  close() {
    this.leaving.abort();
  }
}

/** A limit as a person would write it, never rounded. */
function sized(number) {
  for (const [unit, size] of [["GiB", 1 << 30], ["MiB", 1 << 20], ["KiB", 1 << 10]]) {
    if (number % size === 0) return `${number / size}${unit}`;
  }
  return String(number);
}
