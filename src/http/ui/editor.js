// Writing a value: the forms for a new key and for an open entry. Every write carries a condition, so that nobody is
// overwritten unseen.

import * as api from "./api.js";
import { button, dialog, el, explain, field, select } from "./dom.js";
import { bytes, until } from "./format.js";

const TYPES = ["text/plain; charset=utf-8", "application/json", "application/octet-stream", "text/html; charset=utf-8", "text/markdown; charset=utf-8", "application/xml", "image/png"];

function typeControl(value) {
  const list = el("datalist", { id: "media-types" }, TYPES.map((type) => el("option", { value: type })));
  const input = el("input", { value, list: "media-types", placeholder: "decided by the bytes", autocomplete: "off", spellcheck: false });
  return { input, list, box: el("div.field", {}, field("Type", input), list) };
}

/** Chooses when a value leaves; `current` is the open entry, or null for a new one. */
function expiryControl(current) {
  const choices = [["default", "Keyspace’s default"], ["none", "Never"], ["after", "After…"]];
  if (current) choices.unshift(["keep", current.expires_at ? `Stays: ${until(current.expires_at)}` : "Stays: never"]);
  const how = select(choices, choices[0][0]);
  const after = el("input", { placeholder: "90s, 15m, 2h, 7d", "aria-label": "Expires after", hidden: true, autocomplete: "off", spellcheck: false });
  how.addEventListener("change", () => {
    after.hidden = how.value !== "after";
    after.required = !after.hidden;
    if (!after.hidden) after.focus();
  });
  const ttl = () => {
    if (how.value === "default") return null;
    if (how.value === "after") return after.value.trim();
    if (how.value === "none" || !current.expires_at) return "none";
    // The moment stays, so what remains of the time is said. A moment that has passed is as close as can be asked for.
    return `${Math.max(1, Date.parse(current.expires_at) - Date.now())}ms`;
  };
  const box = field("Expires", how);
  const both = el("div.expiry");
  how.before(both);
  both.append(how, after);
  return { box, ttl };
}

/** Chooses a file instead of typing. */
function fileControl(chosen) {
  const input = el("input", { type: "file", hidden: true, tabIndex: -1, "aria-hidden": "true" });
  const pick = button("Take a file…", "", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) chosen(input.files[0]);
  });
  return { input, pick };
}

/** Ctrl+Enter saves where Enter is a new line. */
function submitByKeyboard(area) {
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) area.form.requestSubmit();
  });
}

/** Sends a value. `headers` holds its condition. */
function put(keyspace, key, body, { type, ttl, headers }) {
  return api.request("PUT", api.keyPath(keyspace, "keys", key), {
    query: { ttl },
    headers: type ? { ...headers, "Content-Type": type } : headers,
    body,
  });
}

/** Asks for a new key and writes it, never over one that is there. Resolves to the key, or to undefined. */
export function create(keyspace, prefix) {
  const key = el("input.mono", { value: prefix, required: true, autocomplete: "off", spellcheck: false, autocapitalize: "off" });
  const value = el("textarea", { rows: 6, spellcheck: false });
  const type = typeControl("");
  const expiry = expiryControl(null);
  const told = el("p.hint", { hidden: true });
  let file = null;
  const picker = fileControl((chosen) => {
    file = chosen;
    value.disabled = true;
    told.hidden = false;
    told.textContent = `${file.name}, ${bytes(file.size)}: its bytes are written as they are.`;
    if (!type.input.value) type.input.value = file.type;
    if (key.value === prefix) key.value = prefix + file.name;
  });
  submitByKeyboard(value);
  return dialog({
    title: `New key in ${keyspace}`,
    body: el("div.stack", {}, field("Key", key), field("Value", value), told, el("div", {}, picker.pick, picker.input), el("div.pair", {}, type.box, expiry.box)),
    action: "Create",
    submit: async () => {
      try {
        const body = file ?? new TextEncoder().encode(value.value);
        await put(keyspace, key.value, body, { type: type.input.value.trim(), ttl: expiry.ttl(), headers: { "If-None-Match": "*" } });
      } catch (error) {
        if (error.status === 412) throw new api.Problem(412, { title: "There is such a key.", detail: "Nothing was changed. Open it from the list to edit it, or choose another name." });
        throw error;
      }
      return key.value;
    },
  });
}

/** How the lines of a text end; a text field knows one way only. */
function lineEnds(text) {
  const all = (text.match(/\r\n|\n|\r/g) ?? []);
  if (all.every((end) => end === "\n")) return "\n";
  return all.every((end) => end === "\r\n") ? "\r\n" : null;
}

/** Whether a text field gives this value back byte by byte, once its line ends are put back. */
export function isEditable(entry) {
  if (entry.text === null || entry.content_encoding) return false;
  const ends = lineEnds(entry.text);
  if (ends === null) return false;
  const area = el("textarea");
  area.value = entry.text;
  return area.value.replaceAll("\n", ends) === entry.text;
}

/** The form that edits an entry in its place. */
export class Editor {
  constructor(keyspace, entry, { saved, cancelled, load }) {
    Object.assign(this, { keyspace, entry, saved, load, etag: entry.etag });
    this.ends = lineEnds(entry.text);
    this.area = el("textarea", { rows: 14, spellcheck: false, "aria-label": "Value" });
    this.area.value = entry.text;
    this.type = typeControl(entry.content_type);
    this.expiry = expiryControl(entry);
    this.conflict = el("div.conflict", { role: "alert" });
    this.save = el("button.primary", { type: "submit" }, "Save");
    this.form = el("form.editor.card", { onsubmit: (event) => this.submit(event) },
      this.conflict, field("Value", this.area, this.ends === "\r\n" ? "Its lines end in CR LF; that stays so." : null),
      el("div.pair", {}, this.type.box, this.expiry.box),
      el("div.actions", {}, button("Cancel", "", cancelled), this.save));
    submitByKeyboard(this.area);
    this.form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      if (!this.isChanged()) cancelled();
    });
  }

  bytes() {
    return new TextEncoder().encode(this.area.value.replaceAll("\n", this.ends));
  }

  isChanged() {
    return this.area.value.replaceAll("\n", this.ends) !== this.entry.text;
  }

  async submit(event) {
    event?.preventDefault();
    this.save.disabled = true;
    this.conflict.replaceChildren();
    try {
      // The version is the one that was shown; one that was deleted meanwhile is made again only where nobody else did.
      const headers = this.etag ? { "If-Match": this.etag } : { "If-None-Match": "*" };
      await put(this.keyspace, this.entry.key, this.bytes(), { type: this.type.input.value.trim(), ttl: this.expiry.ttl(), headers });
      this.saved();
    } catch (error) {
      if (error.status === 412) await this.showConflict();
      else this.conflict.replaceChildren(el("div.failure", {}, explain(error)));
    }
    this.save.disabled = false;
  }

  async showConflict() {
    let theirs;
    try {
      theirs = await this.load();
    } catch (error) {
      if (error.status !== 404) {
        this.conflict.replaceChildren(el("div.failure", {}, explain(error)));
        return;
      }
      theirs = null;
    }
    this.etag = theirs?.etag ?? null;
    const text = theirs ? theirs.text ?? `${bytes(theirs.size)} that are no text` : null;
    this.conflict.replaceChildren(el("div.caution", {},
      el("h3", {}, theirs ? "Somebody changed this value while you were editing" : "Somebody deleted this key while you were editing"),
      el("p", {}, theirs ? "Nothing of theirs was overwritten. This is what is there now:" : "Nothing was written."),
      theirs ? el("pre.theirs", { tabIndex: 0, "aria-label": "Their value" }, text) : null,
      el("div.actions", {},
        button(theirs ? "Drop mine, take theirs" : "Leave it deleted", "", () => this.saved("dropped")),
        button(theirs ? "Save mine over theirs" : "Create it again", "primary", () => this.form.requestSubmit()))));
    this.conflict.querySelector("button").focus();
  }
}

/** Writes a file's bytes over an entry, if it still has the version that was shown. */
export function replaceByFile(keyspace, entry, file) {
  const expiry = expiryControl(entry);
  return put(keyspace, entry.key, file, { type: file.type || null, ttl: expiry.ttl(), headers: { "If-Match": entry.etag } });
}

/** Asks when an entry shall leave, and sets it. Resolves to true when it was changed. */
export function changeExpiry(keyspace, entry) {
  const after = el("input", { placeholder: "90s, 15m, 2h, 7d", autocomplete: "off", spellcheck: false });
  return dialog({
    title: "Expires",
    body: field("After", after, "From now on: 500ms, 90s, 15m, 2h, 7d, or seconds. Empty keeps it for ever."),
    action: "Set",
    submit: async () => {
      const where = api.keyPath(keyspace, "ttl", entry.key);
      const ttl = after.value.trim();
      if (ttl === "" || ttl === "none") await api.request("DELETE", where);
      else await api.sendJson("PUT", where, { ttl });
      return true;
    },
  });
}
