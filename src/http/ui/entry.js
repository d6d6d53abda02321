// One entry: what it is, its value in several views, and what can be done with it.

import * as api from "./api.js";
import { button, clock, copy, dialog, el, empty, failed, iconButton, loading, toast } from "./dom.js";
import { Editor, changeExpiry, isEditable, replaceByFile } from "./editor.js";
import { ago, bytes, count, fromBase64, hexDump, layOut, moment, textOf, until } from "./format.js";

const WHOLE = 1 << 20;
const BEGINNING = 64 << 10;
const LAID_OUT = 512 << 10;
const HEX_STEP = 4096;
const PICTURES = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml|x-icon)\b/;
const EXTENSIONS = { "application/json": "json", "text/plain": "txt", "text/html": "html", "text/markdown": "md", "text/css": "css", "text/csv": "csv", "application/xml": "xml", "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", "image/svg+xml": "svg", "application/pdf": "pdf" };

/** Opens the entry of `key` in `place`. `on` is told when it is closed, has changed, or is gone. */
export function open(place, keyspace, key, on) {
  const entry = new Entry(place, keyspace, key, on);
  entry.show();
  return entry;
}

/** Reads an entry: whole up to a size, beyond it its facts and its beginning. */
async function read(keyspace, key, signal) {
  const raw = api.keyPath(keyspace, "keys", key);
  const head = await api.request("HEAD", raw, { signal });
  const size = Number(head.headers.get("Content-Length"));
  if (size <= WHOLE) {
    const { value, value_base64: encoded, ...facts } = await api.json("GET", api.keyPath(keyspace, "entries", key), { signal });
    const held = encoded === undefined ? new TextEncoder().encode(value) : fromBase64(encoded);
    return { ...facts, key, text: encoded === undefined ? value : textOf(held), held, isWhole: true };
  }
  const facts = {
    key, size, etag: head.headers.get("ETag"), content_type: head.headers.get("Content-Type"),
    content_encoding: head.headers.get("Content-Encoding"), expires_at: head.headers.get("Expires") && new Date(head.headers.get("Expires")).toISOString(),
  };
  let held = new Uint8Array();
  if (!facts.content_encoding) {
    const part = await api.request("GET", raw, { signal, headers: { Range: `bytes=0-${BEGINNING - 1}`, "If-Match": facts.etag } });
    held = new Uint8Array(await part.arrayBuffer());
  }
  return { ...facts, text: null, held, isWhole: false };
}

class Entry {
  constructor(place, keyspace, key, on) {
    Object.assign(this, { place, keyspace, key, on, editing: false, leaving: new AbortController() });
    this.lookedAt = null;
  }

  async show() {
    this.editing = false;
    this.following?.abort();
    if (!this.entry) this.place.replaceChildren(loading(6));
    try {
      this.entry = await read(this.keyspace, this.key, this.leaving.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.entry = null;
      this.place.replaceChildren(this.failure(error));
      return;
    }
    this.render();
  }

  failure(error) {
    const back = button("Back to the keys", "", () => this.on.close());
    if (error.status !== 404) return el("div", {}, failed(error, () => this.show()), el("div.empty", {}, back));
    return empty("This key is not there", `“${this.key}” was deleted, has expired, or was never written.`, back);
  }

  render() {
    this.body = el("div");
    this.notice = el("div.notice", { role: "status" });
    this.place.replaceChildren(el("article.entry", {}, this.header(), this.notice, this.facts(), this.body));
    this.showValue();
    this.follow();
  }

  /** Says so when somebody else changes what is shown. A courtesy: whoever saves without having seen it is told then. */
  async follow() {
    this.following?.abort();
    this.following = new AbortController();
    const { entry } = this;
    const where = `${api.path("keyspaces", this.keyspace)}/watch`;
    let isThere = false;
    try {
      for await (const { type, data } of api.events(where, { query: { key: this.key, initial: "true" }, signal: this.following.signal, silent: true })) {
        if (type === "put") {
          isThere = true;
          this.tell(JSON.parse(data).etag === entry.etag ? null : "changed");
        } else if (type === "synced" ? !isThere : ["delete", "expire", "evict", "flush"].includes(type)) {
          this.tell("deleted");
        }
      }
    } catch {
      // Without a stream there is no hint; nothing else depends on it.
    }
  }

  tell(what) {
    const show = this.editing ? null : button(what === "changed" ? "Show it" : "Look again", "", () => this.show());
    this.notice.replaceChildren(...(what ? [el("div.caution", {}, el("p", {}, `This value was ${what} just now.`), show)] : []));
  }

  header() {
    const { entry } = this;
    const file = el("input", { type: "file", hidden: true, tabIndex: -1, "aria-hidden": "true", onchange: () => this.upload(file) });
    const edit = button("Edit", "primary", () => this.edit(), {
      disabled: !isEditable(entry),
      title: isEditable(entry) ? "Edit the text" : "Only text can be edited here; a file can replace any value",
    });
    return el("div.stack", {},
      el("div.only-phone", {}, button("‹ Keys", "quiet", () => this.on.close())),
      el("header", {}, el("h1", {}, entry.key), el("div", {}, iconButton("copy", "Copy the key", () => copy(entry.key)), iconButton("close", "Close the entry (Esc)", () => this.on.close()))),
      el("div.buttons", {}, edit, button("Replace by a file…", "", () => file.click()), button("Download", "", () => this.download()),
        button("Delete", "away", () => this.remove()), file));
  }

  facts() {
    const { entry } = this;
    const rows = [
      ["Type", [entry.content_type]],
      ["Size", [el("span", { title: `${count(entry.size)} bytes` }, bytes(entry.size))]],
      entry.content_encoding ? ["Encoding", [entry.content_encoding]] : null,
      entry.created_at ? ["Written", [clock(entry.created_at, ago, moment(entry.created_at))]] : null,
      ["Expires", [
        entry.expires_at ? clock(entry.expires_at, until, moment(entry.expires_at)) : "never",
        button("Change", "quiet", () => this.changeExpiry(), { "aria-label": "Change when it expires" }),
      ]],
      ["Version (ETag)", [el("code", {}, entry.etag), iconButton("copy", "Copy the ETag", () => copy(entry.etag))]],
    ];
    return el("dl.facts.card", {}, rows.filter(Boolean).map(([name, shown]) => el("div", {}, el("dt", {}, name), el("dd", {}, shown))));
  }

  /** The ways to look at the value, the best one first. */
  looks() {
    const { entry } = this;
    const looks = [];
    if (PICTURES.test(entry.content_type) && entry.isWhole && !entry.content_encoding) looks.push("Picture");
    if (entry.text !== null && entry.text.length <= LAID_OUT) {
      this.pieces = /^\s*[{[]/.test(entry.text) || /json/.test(entry.content_type) ? layOut(entry.text) : null;
      if (this.pieces) looks.push("JSON");
    }
    if (entry.text !== null && (entry.size > 0)) looks.push("Text");
    if (entry.held.length) looks.push("Hex");
    return looks;
  }

  showValue() {
    const looks = this.looks();
    const look = looks.includes(this.lookedAt) ? this.lookedAt : looks[0];
    const shown = el("div");
    const tabs = el("div.tabs", { role: "group", "aria-label": "How the value is shown" }, looks.map((name) => button(name, "", () => {
      this.lookedAt = name;
      for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.textContent === name));
      shown.replaceChildren(this.look(name));
    }, { "aria-pressed": String(name === look) })));
    const about = { JSON: "laid out for reading; the bytes stay as they are", Hex: this.entry.isWhole ? "" : "the beginning" }[look] ?? "";
    this.body.replaceChildren(el("section.value.card", { "aria-label": "Value" }, looks.length ? el("div.value-bar", {}, tabs, el("span.soft", {}, about)) : null, shown));
    shown.replaceChildren(look ? this.look(look) : this.nothing());
  }

  nothing() {
    if (this.entry.size === 0) return empty("Empty", "This value has no bytes.");
    return empty("Too large to show here", `${bytes(this.entry.size)}, stored with the encoding ${this.entry.content_encoding}. Download it to look inside.`);
  }

  look(name) {
    const { entry } = this;
    this.forgetPicture();
    if (name === "Picture") {
      this.picture = URL.createObjectURL(new Blob([entry.held], { type: entry.content_type }));
      return el("img.picture", { src: this.picture, alt: `The picture stored as ${entry.key}` });
    }
    if (name === "JSON") {
      return el("pre.shown", { tabIndex: 0 }, this.pieces.map(({ text, kind }) => (kind ? el(`span.${kind}`, {}, text) : text)));
    }
    if (name === "Text") return el("pre.shown", { tabIndex: 0 }, entry.text);
    return this.hex(HEX_STEP);
  }

  hex(limit) {
    const { held, size, isWhole } = this.entry;
    const box = el("div", {}, el("pre.shown.hex", { tabIndex: 0 }, hexDump(held, limit)));
    if (limit < held.length) {
      box.append(el("p.note", {}, `${count(limit)} of ${count(size)} bytes. `, button("Show more", "", () => box.replaceWith(this.hex(limit * 4)))));
    } else if (!isWhole) {
      box.append(el("p.note", {}, `The first ${bytes(held.length)} of ${bytes(size)}. Download it for the rest.`));
    }
    return box;
  }

  edit() {
    this.editing = true;
    const leave = () => {
      this.editing = false;
      this.render();
      this.place.querySelector(".buttons button")?.focus();
    };
    const editor = new Editor(this.keyspace, this.entry, {
      cancelled: leave,
      saved: async (how) => {
        await this.show();
        this.on.changed();
        toast(how === "dropped" ? "Yours was dropped" : "Saved");
        this.place.querySelector(".buttons button")?.focus();
      },
      load: () => read(this.keyspace, this.key, this.leaving.signal),
    });
    this.body.replaceChildren(editor.form);
    for (const each of this.place.querySelectorAll(".buttons button")) each.disabled = true;
    editor.area.focus();
    editor.area.setSelectionRange(0, 0);
  }

  async upload(input) {
    const file = input.files[0];
    input.value = "";
    if (!file) return;
    const done = await dialog({
      title: "Replace the value?",
      body: el("p", {}, `${file.name}, ${bytes(file.size)}, takes the place of the ${bytes(this.entry.size)} of `, el("code", {}, this.key), "."),
      action: "Replace",
      submit: async () => {
        await this.unlessChanged(() => replaceByFile(this.keyspace, this.entry, file));
        return true;
      },
    });
    if (done) this.after("Replaced");
  }

  async download() {
    try {
      const response = await api.request("GET", api.keyPath(this.keyspace, "keys", this.key));
      const url = URL.createObjectURL(await response.blob());
      el("a", { href: url, download: this.fileName() }).click();
      // The browser takes the file over within the click; its name in memory is not needed any longer.
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      toast(`${error.title}. ${error.detail}`, "wrong");
    }
  }

  fileName() {
    const name = this.key.split("/").filter(Boolean).at(-1)?.replace(/[^\w.-]+/g, "_") || "value";
    const extension = EXTENSIONS[this.entry.content_type.split(";")[0].trim().toLowerCase()];
    return /\.\w{1,8}$/.test(name) || !extension ? name : `${name}.${extension}`;
  }

  async changeExpiry() {
    if (await changeExpiry(this.keyspace, this.entry)) this.after("The expiry is set");
  }

  async remove() {
    const done = await dialog({
      title: "Delete this key?",
      body: el("p", {}, el("code", {}, this.key), " and its value are deleted from ", el("code", {}, this.keyspace), ". This cannot be undone."),
      action: "Delete",
      danger: true,
      submit: async () => {
        await this.unlessChanged(() => api.request("DELETE", api.keyPath(this.keyspace, "keys", this.key), { headers: { "If-Match": this.entry.etag } }));
        return true;
      },
    });
    if (!done) return;
    toast("Deleted");
    this.on.gone();
  }

  /** Does it; where the version is another one by now, says so in words for people and shows the new one below. */
  async unlessChanged(change) {
    try {
      await change();
    } catch (error) {
      if (error.status !== 412) throw error;
      await this.show();
      this.on.changed();
      throw new api.Problem(412, {
        title: "It has changed meanwhile.",
        detail: this.entry ? "Nothing was done. The new value is loaded: look at it, then decide again." : "Nothing was done: the key is gone already.",
      });
    }
  }

  async after(said) {
    await this.show();
    this.on.changed();
    toast(said);
  }

  forgetPicture() {
    if (this.picture) URL.revokeObjectURL(this.picture);
    this.picture = null;
  }

  close() {
    this.leaving.abort();
    this.following?.abort();
    this.forgetPicture();
    this.place.replaceChildren();
  }
}
