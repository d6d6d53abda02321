// Following a keyspace live: every change as it becomes durable, with resumption after a lost connection.

import * as api from "./api.js";
import { button, el, empty, explain, field, options, select } from "./dom.js";
import { bytes, fromBase64 } from "./format.js";
import { address } from "./keys.js";

const KEPT = 500;
const SHOWN_VALUE = 300;
const AGAIN_AFTER_MS = 2000;
const KINDS = { put: "good", delete: "bad", expire: "warn", evict: "warn", flush: "bad" };
/** The reasons of a `bye` after which it is worth to come back. */
const PASSING = new Set(["watch_duration", "draining"]);
const REASONS = {
  draining: "it is stopping",
  durability_lost: "its disk failed",
  keyspace_dropped: "the keyspace was dropped",
  watch_duration: "no stream is longer than limits.watch_duration",
};
const SAID = {
  synced: "Everything that was there has been shown; from here on it is live.",
  reset: "Changes were missed: the stream was too far behind. It goes on from now.",
  bye: "The server ended the stream",
};

/** Opens the view in `main`. */
export function open(main, route) {
  return new Watch(main, route);
}

class Watch {
  constructor(main, route) {
    this.space = el("select");
    this.how = select([["prefix", "that start with"], ["key", "called exactly"]], "prefix");
    this.how.addEventListener("change", () => { this.text.required = this.how.value === "key"; });
    this.text = el("input.mono", { placeholder: "every key", autocomplete: "off", spellcheck: false, autocapitalize: "off" });
    this.initial = el("input", { type: "checkbox" });
    this.values = el("input", { type: "checkbox", checked: true });
    this.act = el("button.primary", { type: "submit" }, "Follow");
    this.state = el("span.state", { role: "status" }, "Not following");
    this.counted = el("span.soft");
    this.list = el("ul.events", { "aria-label": "Changes, newest first", tabIndex: 0 });
    this.problem = el("div", { role: "alert" });
    this.number = 0;
    this.waiting = [];
    const ask = el("form.ask.card", { onsubmit: (event) => this.submit(event) },
      field("Keyspace", this.space), field("Keys", this.how), field("Prefix or key", this.text), this.act,
      el("div.checks", {}, el("label.check", {}, this.initial, "begin with what is there"), el("label.check", {}, this.values, "with values")));
    main.append(el("div.wide", {}, el("div.head", {}, el("h1", {}, "Watch")), ask, this.problem,
      el("section.stream.card", {}, el("div.stream-bar", {}, this.state, this.counted, el("div.actions", {}, button("Clear", "quiet", () => this.clear()))), this.list)));
    this.clear();
    this.begin(route);
  }

  async begin(route) {
    try {
      const names = (await api.keyspaces()).map((space) => space.name);
      const chosen = route.keyspace ?? (names.includes("default") ? "default" : names[0]);
      this.space.replaceChildren(...options(names.map((name) => [name, name])));
      this.space.value = chosen;
    } catch (error) {
      this.problem.replaceChildren(el("div.failure", {}, explain(error)));
    }
  }

  submit(event) {
    event.preventDefault();
    if (this.following) this.stop("Stopped");
    else this.follow();
  }

  /** Follows until it is stopped; a lost connection is taken up where it broke off. */
  async follow() {
    const following = new AbortController();
    this.following = following;
    this.problem.replaceChildren();
    this.act.textContent = "Stop";
    for (const control of [this.space, this.how, this.text, this.initial, this.values]) control.disabled = true;
    this.last = null;
    while (!following.signal.aborted) {
      try {
        if (!this.number) this.clear();
      this.say(this.last ? "Connecting again" : "Connecting", "wait");
        const ended = await this.stream(following.signal);
        if (ended) {
          this.stop("Ended");
          return;
        }
      } catch (error) {
        if (following.signal.aborted) return;
        if (error.status && error.status !== 503) {
          this.problem.replaceChildren(el("div.failure", {}, explain(error)));
          this.stop("Stopped");
          return;
        }
      }
      if (following.signal.aborted) return;
      this.say("Lost, trying again", "bad");
      await new Promise((resolve) => { setTimeout(resolve, AGAIN_AFTER_MS); });
    }
  }

  /** One connection. Says whether the server ended it for good. */
  async stream(signal) {
    const query = { [this.how.value]: this.text.value, initial: this.initial.checked ? "true" : null, values: this.values.checked ? "true" : null };
    const headers = this.last ? { "Last-Event-ID": this.last } : {};
    for await (const event of api.events(`${api.path("keyspaces", this.space.value)}/watch`, { query, headers, signal, opened: () => this.say("Live", "good") })) {
      if (event.id) this.last = event.id;
      if (event.data === "" && event.type === "message") continue;
      this.show(event);
      if (event.type === "bye") return !PASSING.has(JSON.parse(event.data || "{}").reason);
    }
    return false;
  }

  /** Keeps an event for the next drawing: a busy keyspace changes more often than a screen. */
  show(event) {
    this.number += 1;
    this.waiting.push({ ...event, at: new Date() });
    if (this.waiting.length > KEPT) this.waiting.shift();
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = null;
    if (!this.waiting.length) return;
    for (const none of this.list.querySelectorAll(".none")) none.remove();
    this.list.prepend(...this.waiting.reverse().map((event) => this.row(event)));
    this.waiting = [];
    while (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
    this.count();
  }

  row({ type, data, at }) {
    const told = data ? JSON.parse(data) : {};
    const time = el("time", {}, at.toLocaleTimeString(undefined, { hour12: false }));
    const badge = el(`span.badge${KINDS[type] ? `.${KINDS[type]}` : ""}`, {}, type);
    if (!SAID[type]) return el("li", {}, time, badge, this.what(type, told), this.more(told));
    return el("li.said", {}, time, badge, el("span", {}, type === "bye" ? `${SAID[type]}: ${REASONS[told.reason] ?? told.reason}.` : SAID[type]));
  }

  what(type, told) {
    if (type === "flush") return el("span.what", {}, told.prefix ? `${told.deleted} keys that start with ${told.prefix}` : `all ${told.deleted} keys`);
    return el("span.what", {}, el("a", { href: address(this.space.value, { key: told.key }) }, told.key));
  }

  more(told) {
    if (told.value !== undefined) return el("span.more", {}, told.value.length > SHOWN_VALUE ? `${told.value.slice(0, SHOWN_VALUE)}…` : told.value || "(empty)");
    if (told.value_base64 !== undefined) return el("span.more", {}, `${bytes(fromBase64(told.value_base64).length)} of ${told.content_type}`);
    return told.content_type ? el("span.more", {}, told.content_type) : null;
  }

  count() {
    this.counted.textContent = this.number ? `${this.number.toLocaleString("en-US")} event${this.number === 1 ? "" : "s"}${this.number > KEPT ? `, the last ${KEPT} shown` : ""}` : "";
  }

  clear() {
    this.number = 0;
    this.waiting = [];
    const nothing = this.following ? empty("Nothing yet", "Changes appear here as they happen, the newest first.") : empty("Not following", "Choose what to follow. Every change appears here as soon as it is durable, the newest first.");
    this.list.replaceChildren(el("li.none", {}, nothing));
    this.count();
  }

  say(text, kind) {
    this.state.textContent = text;
    this.state.className = `state ${kind}`;
  }

  stop(said) {
    this.following?.abort();
    this.following = null;
    this.act.textContent = "Follow";
    for (const control of [this.space, this.how, this.text, this.initial, this.values]) control.disabled = false;
    if (!this.number) this.clear();
    this.say(said, "");
  }

  update(route) {
    if (route.keyspace && route.keyspace !== this.space.value && !this.following) this.space.value = route.keyspace;
  }

  /** Escape stops following. */
  onKey(event) {
    if (event.key !== "Escape" || !this.following) return false;
    this.stop("Stopped");
    return true;
  }

  close() {
    this.following?.abort();
    cancelAnimationFrame(this.frame);
  }
}
