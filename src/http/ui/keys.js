// The list of keys: search by prefix, folders, pages; the entry beside it.

import * as api from "./api.js";
import { button, dialog, el, empty, failed, icon, iconButton, loading, options, toast } from "./dom.js";
import * as editor from "./editor.js";
import * as entry from "./entry.js";
import { bytes, plural, until } from "./format.js";

const PAGE = 50;
const SEARCH_AFTER_MS = 200;

/** The address of a place in this view. */
export function address(keyspace, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#/keys/${encodeURIComponent(keyspace)}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** Opens the view in `main`. */
export function open(main, route) {
  return new Keys(main, route);
}

class Keys {
  constructor(main, route) {
    this.cursors = [null];
    this.leaving = new AbortController();
    this.search = el("input", { type: "search", placeholder: "Keys that start with…", "aria-label": "Prefix", autocomplete: "off", spellcheck: false });
    this.folders = el("input", { type: "checkbox", onchange: () => this.go({ group: this.folders.checked ? "1" : null, key: null }) });
    this.space = el("select", { "aria-label": "Keyspace", onchange: () => { location.hash = address(this.space.value); } });
    this.crumbs = el("nav.crumbs", { "aria-label": "Folders", hidden: true });
    this.clear = iconButton("trash", "Delete all keys with this prefix", () => this.deletePrefix(), { hidden: true });
    this.list = el("nav.keys", { "aria-label": "Keys", onkeydown: (event) => this.move(event) });
    this.pages = el("div.pages", { hidden: true });
    this.place = el("section.pane.entry-pane", { "aria-label": "Entry" });
    this.split = el("div.split", {},
      el("section.pane.list-pane", { "aria-label": "Keys" },
        el("div.filter", {},
          el("div.row", {}, this.space, iconButton("refresh", "Load again (r)", () => this.load()), el("button.primary", { type: "button", onclick: () => this.create(), title: "New key (n)" }, icon("plus"), "New key")),
          el("div.search", {}, icon("search"), this.search),
          el("div.row", {}, el("label.check", {}, this.folders, "Folders by /"), this.crumbs, this.clear),
        ),
        this.list, this.pages),
      this.place);
    main.append(this.split);
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.go({ prefix: this.search.value, key: null }, true), SEARCH_AFTER_MS);
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") {
        this.list.querySelector("a")?.focus();
        event.preventDefault();
      }
    });
    this.begin(route);
  }

  async begin(route) {
    this.list.replaceChildren(loading(8));
    try {
      this.spaces = await api.keyspaces({ signal: this.leaving.signal });
    } catch (error) {
      if (error.name !== "AbortError") this.list.replaceChildren(failed(error, () => this.begin(route)));
      return;
    }
    this.update(route);
  }

  /** The address has changed. */
  update(route) {
    if (!this.spaces) return;
    const first = this.spaces.find((space) => space.name === "default") ?? this.spaces[0];
    if (!route.keyspace && !first) {
      this.list.replaceChildren(empty("No keyspace", "This token may see none."));
      return;
    }
    const { keyspace: old, prefix: oldPrefix, group: oldGroup } = this;
    this.keyspace = route.keyspace ?? first.name;
    this.prefix = route.parameters.get("prefix") ?? "";
    this.group = route.parameters.get("group") === "1";
    this.showChoices();
    if (old !== this.keyspace || oldPrefix !== this.prefix || oldGroup !== this.group) {
      this.cursors = [null];
      this.load();
    }
    this.showEntry(route.parameters.get("key"), old !== this.keyspace);
  }

  showChoices() {
    const names = this.spaces.map((space) => space.name);
    if (!names.includes(this.keyspace)) names.push(this.keyspace);
    this.space.replaceChildren(...options(names.map((name) => [name, name])));
    this.space.value = this.keyspace;
    if (document.activeElement !== this.search) this.search.value = this.prefix;
    this.folders.checked = this.group;
    this.clear.hidden = this.prefix === "";
    this.crumbs.hidden = !this.group;
    const parts = this.prefix.split("/").slice(0, -1);
    const to = (prefix) => () => this.go({ prefix, key: null });
    this.crumbs.replaceChildren(button("top", "quiet", to("")),
      ...parts.map((part, at) => button(`${part}/`, "quiet", to(`${parts.slice(0, at + 1).join("/")}/`))));
  }

  showEntry(key, elsewhere) {
    this.split.classList.toggle("open", key !== null);
    if (key === this.key && !elsewhere && this.place.childElementCount) {
      this.mark();
      return;
    }
    this.key = key;
    this.shown?.close();
    this.shown = null;
    if (key === null) {
      this.place.replaceChildren(empty("No key is open", "Choose a key of the list to see its value, or write a new one.",
        button("New key", "", () => this.create())));
    } else {
      this.shown = entry.open(this.place, this.keyspace, key, {
        close: () => this.go({ key: null }),
        changed: () => this.load(true),
        gone: () => this.go({ key: null }).then(() => this.load(true)),
      });
    }
    this.mark();
  }

  /** Goes to another place of this view; `typing` leaves no trace for the Back button. */
  async go(change, typing = false) {
    const now = { prefix: this.prefix, group: this.group ? "1" : null, key: this.key, ...change };
    const hash = address(this.keyspace, now);
    if (hash === location.hash) return;
    if (typing) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }

  /** Loads the page of the list; `quietly` leaves what is shown until the answer is there. */
  async load(quietly = false) {
    this.loading?.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    if (!quietly) this.list.replaceChildren(loading(8));
    try {
      const page = await api.json("GET", `${api.path("keyspaces", this.keyspace)}/keys`, {
        query: { prefix: this.prefix, delimiter: this.group ? "/" : null, limit: PAGE, cursor: this.cursors.at(-1) },
        signal,
      });
      this.showPage(page);
    } catch (error) {
      if (error.name === "AbortError") return;
      // A page that is left behind by a change of the server's is begun anew.
      if (error.code === "invalid_cursor" && this.cursors.length > 1) {
        this.cursors = [null];
        this.load();
        return;
      }
      this.pages.hidden = true;
      this.list.replaceChildren(failed(error, () => this.load()));
    }
  }

  showPage({ items, prefixes, cursor }) {
    const rows = [
      ...prefixes.map((prefix) => ({ at: prefix, row: this.folderRow(prefix) })),
      ...items.map((item) => ({ at: item.key, row: this.keyRow(item) })),
    ];
    rows.sort((a, b) => (a.at < b.at ? -1 : 1));
    if (rows.length) this.list.replaceChildren(...rows.map(({ row }) => row));
    else this.list.replaceChildren(this.nothing());
    const first = (this.cursors.length - 1) * PAGE + 1;
    const back = button("Previous", "quiet", () => { this.cursors.pop(); this.load(); }, { disabled: this.cursors.length === 1 });
    const on = button("Next", "quiet", () => { this.cursors.push(cursor); this.load(); }, { disabled: cursor === null });
    this.pages.replaceChildren(back, el("span", {}, rows.length ? `${first}–${first + rows.length - 1}` : ""), on);
    this.pages.hidden = this.cursors.length === 1 && cursor === null;
    this.mark();
  }

  nothing() {
    if (this.prefix) return empty("Nothing starts so", `No key of ${this.keyspace} starts with “${this.prefix}”.`, button("Show all keys", "", () => { this.search.value = ""; this.go({ prefix: "" }); }));
    return empty("No keys yet", `The keyspace ${this.keyspace} is empty.`, button("New key", "primary", () => this.create()));
  }

  folderRow(prefix) {
    const rest = prefix.slice(this.prefix.length);
    return el("a.folder", { href: address(this.keyspace, { prefix, group: "1" }), "data-name": prefix }, el("span.name", {}, rest), el("span.about", {}, el("span", {}, "folder")));
  }

  keyRow(item) {
    const about = [item.content_type, bytes(item.size), item.expires_at ? `expires ${until(item.expires_at)}` : null];
    const shown = this.group ? item.key.slice(this.prefix.lastIndexOf("/") + 1) : item.key;
    return el("a", {
      href: address(this.keyspace, { prefix: this.prefix, group: this.group ? "1" : null, key: item.key }),
      title: item.key,
      "data-key": item.key,
    }, el("span.name", {}, shown), el("span.about", {}, about.filter(Boolean).map((text) => el("span", {}, text))));
  }

  mark() {
    for (const row of this.list.querySelectorAll("a")) {
      if (row.dataset.key !== undefined && row.dataset.key === this.key) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  /** The arrow keys go through the list. */
  move(event) {
    const rows = [...this.list.querySelectorAll("a")];
    const at = rows.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    if (next < 0) this.search.focus();
    else rows[Math.min(next, rows.length - 1)]?.focus();
  }

  /** The keys of this view. Says whether it was one. */
  onKey(event) {
    const does = { "/": () => this.search.focus(), n: () => this.create(), r: () => this.load() }[event.key];
    if (does) does();
    else if (event.key === "Escape" && this.key !== null && !this.shown?.editing) this.leave();
    else return false;
    return true;
  }

  leave() {
    const row = [...this.list.querySelectorAll("a")].find((each) => each.dataset.key === this.key);
    this.go({ key: null });
    row?.focus();
  }

  async create() {
    const key = await editor.create(this.keyspace, this.prefix);
    if (key === undefined) return;
    toast("Created");
    await this.go({ key });
    this.load(true);
  }

  async deletePrefix() {
    const { keyspace, prefix } = this;
    const where = `${api.path("keyspaces", keyspace)}/keys`;
    let found;
    try {
      found = (await api.json("DELETE", where, { query: { prefix, dry_run: "true" } })).deleted;
    } catch (error) {
      toast(`${error.title}. ${error.detail}`, "wrong");
      return;
    }
    if (found === 0) {
      toast("No key starts so");
      return;
    }
    const deleted = await dialog({
      title: `Delete ${plural(found, "key")}?`,
      body: el("p", {}, "Every key of ", el("code", {}, keyspace), " that starts with ", el("code", {}, prefix), " is deleted, those too that are written meanwhile. This cannot be undone."),
      action: `Delete ${plural(found, "key")}`,
      danger: true,
      submit: async () => (await api.json("DELETE", where, { query: { prefix } })).deleted,
    });
    if (deleted === undefined) return;
    toast(`${plural(deleted, "key")} deleted`);
    if (this.key?.startsWith(prefix)) await this.go({ key: null });
    this.cursors = [null];
    this.load();
  }

  close() {
    this.leaving.abort();
    this.loading?.abort();
    this.shown?.close();
    clearTimeout(this.typing);
  }
}
