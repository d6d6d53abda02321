// Sinks: where the changes of a keyspace are passed on, what waits, what was refused for good, and what a person can do about it.

import * as api from "./api.js";
import { button, dialog, el, explain, field, select, toast } from "./dom.js";
import { Card, badge, elapsed, momentOf, since, slot, watchAddress } from "./flow.js";
import { count, plural } from "./format.js";
import { address } from "./keys.js";

const STATES = {
  idle: ["idle", "good", "It waits for its time"],
  sending: ["sending", "", "It is passing changes on"],
  retrying: ["retrying", "bad", "The last attempt failed; it tries again"],
  unsuitable: ["unsuitable", "bad", "The target, or what the configuration says of it, has to be changed; it tries again"],
  sink_ahead: ["stopped: ahead", "bad", "The target has seen what this store has not: a person has to decide"],
  dead_full: ["full of refused keys", "bad", "More keys are refused than may be set aside; it tries again"],
};
const MODES = { increment: "The sums of counters", upsert: "The latest values" };
const CHOICES = {
  skip: "What waits in this generation is taken for passed on: right where the target has it already, as after this store was restored from a backup.",
  resend: "What waits in this generation is passed on: right where the target was restored as well, or where counting twice is better than not at all.",
};
const SHOWN = 100;

/** What the view knows of sinks. */
export const sinks = {
  title: "Sinks",
  path: "/sinks",
  says: "Keyspaces whose changes are passed on to a database or an HTTP server, some time later and many at once.",
  none: "No sink is configured",
  how: "What counters have gained, or the latest values, can go to a table of PostgreSQL, MySQL or SQLite, or to an HTTP server.",
  example: `keyspaces:
  views:
    sink:
      sql: { url_file: /run/secrets/db, table: page_views, key_column: page, value_column: views }
      mode: increment
      every: 5s
`,
  name: (item) => item.keyspace,
  card: (item, view) => new SinkCard(item, view),
  isTroubled: (item) => !["idle", "sending"].includes(item.state) || item.dead > 0,
  sum(items) {
    const failing = items.filter(({ state }) => !["idle", "sending"].includes(state)).length;
    const dead = items.reduce((total, item) => total + item.dead, 0);
    const bad = [failing ? `${count(failing)} failing` : null, dead ? `${plural(dead, "key")} refused` : null].filter(Boolean).join(", ");
    return { text: plural(items.length, "sink"), bad: bad || null };
  },
};

class SinkCard extends Card {
  constructor(item, view) {
    super(item.keyspace);
    this.view = view;
    this.path = api.path("sinks", item.keyspace);
    this.pending = new Opened("What waits", () => this.readPending(), (read) => this.pendingRows(read));
    this.dead = new Opened("Refused keys", () => this.readDead(), (read) => this.deadRows(read));
    this.more.append(this.pending.element, this.dead.element);
    this.resume = button("Decide…", "primary", () => this.decide());
    this.redrive = button("Try refused keys again", "", () => this.tryAgain());
    this.sync = button("Sync now", "", () => this.syncNow());
    this.buttons.append(this.resume, this.sync, this.redrive,
      el("a.button", { href: address(item.keyspace) }, "Browse"), el("a.button", { href: watchAddress(item.keyspace) }, "Watch"));
  }

  show(item) {
    this.badges.show([item.state, item.dead], () => [
      badge(...STATES[item.state] ?? [item.state, "", null]),
      item.dead ? badge(`${count(item.dead)} refused`, "bad", "The target refuses these keys for good; they are set aside until they are tried again") : null,
    ]);
    this.about.show([item.target, item.mode, item.deletes], () => aboutTarget(item));
    const { passed_on: passed, set_aside: aside, skipped, successes, failures } = item.since_start;
    this.oldest = item.pending ? momentOf(item.lag_ms, this.oldest) : null;
    this.showFacts([
      ["Waiting", item.pending, () => (item.pending ? plural(item.pending, "key") : "nothing"), "One that changed again while it is being passed on counts twice"],
      ["Lag", this.oldest, () => elapsed(this.oldest), "How long the oldest change has waited"],
      ["Passed on", [passed, aside, skipped], () => [plural(passed, "key"),
        el("span.soft", {}, aside ? `, ${count(aside)} refused` : null, skipped ? `, ${count(skipped)} skipped` : null)], "Since the start of the server"],
      ["Last success", item.last_success ?? "none", () => (item.last_success ? since(item.last_success) : "none yet"), "When an attempt last succeeded, since the start of the server"],
      ["Attempts", [successes, failures], () => [count(successes + failures), failures ? el("span.soft", {}, `, ${count(failures)} failed`) : null],
        "Since the start of the server: those that passed something on, and those that failed"],
    ]);
    this.trouble.show([item.state, item.last_error], () => troubleOf(item));
    this.resume.hidden = item.state !== "sink_ahead";
    this.redrive.hidden = !item.dead;
    this.pending.follow(item.pending);
    this.dead.follow(item.dead);
  }

  syncNow() {
    return this.act(this.sync, "Syncing…", async () => {
      try {
        toast(passedOn(this.name, await api.json("POST", `${this.path}/sync`)));
      } finally {
        this.view.load();
      }
    });
  }

  tryAgain(keys) {
    return this.act(this.redrive, "One moment…", async () => {
      const path = `${this.path}/redrive`;
      const { redriven, kept } = keys ? await (await api.sendJson("POST", path, { keys })).json() : await api.json("POST", path);
      toast(`${plural(redriven, "key")} of ${this.name} ${redriven === 1 ? "waits" : "wait"} again${kept ? `; ${count(kept)} stay refused, because the sum would not fit` : ""}`);
      this.view.load();
    });
  }

  /** The target has another history than this store: which one counts. */
  async decide() {
    const choice = select([["skip", "Skip it: the target has it"], ["resend", "Resend it: the target lacks it"]], "skip");
    const chosen = field("This generation", choice, CHOICES.skip);
    choice.addEventListener("change", () => { chosen.querySelector(".hint").textContent = CHOICES[choice.value]; });
    const passed = await dialog({
      title: `Go on with ${this.name}?`,
      body: el("div.stack", {},
        el("p", {}, "The target has seen what this store has not: one of the two is a restored backup or a copy. Look at what waits before you decide. From then on this store's history is the one that goes on; this cannot be undone."), chosen),
      action: "Go on",
      danger: true,
      submit: async () => (await api.sendJson("POST", `${this.path}/resume`, { generation: choice.value })).json(),
    });
    if (passed) toast(passedOn(this.name, passed));
    this.view.load();
  }

  async readPending() {
    const query = { limit: SHOWN + 1 };
    return Object.entries(await api.json("GET", `${this.path}/pending`, { query, signal: this.view.signal, silent: true }));
  }

  pendingRows(sums) {
    const rows = sums.slice(0, SHOWN).map(([key, sum]) => el("li.pair-row", {}, this.keyLink(key), el("span.soft", {}, typeof sum === "number" ? signed(sum) : sum)));
    return [rows, sums.length > SHOWN ? el("li.hint", {}, `These are the first ${SHOWN}.`) : null];
  }

  readDead() {
    return api.json("GET", `${this.path}/dead`, { query: { limit: SHOWN }, signal: this.view.signal, silent: true });
  }

  deadRows({ items, after }) {
    const rows = items.map(({ key, sum, reason, at }) => el("li", {},
      el("div.pair-row", {}, this.keyLink(key), el("span.soft", {}, sum === undefined ? null : signed(sum)), button("Try again", "quiet", () => this.tryAgain([key]), { "aria-label": `Try ${key} again` })),
      el("p.wrong", {}, reason), el("p.hint", {}, "Refused ", since(at))));
    return [rows, after === null ? null : el("li.hint", {}, `These are the first ${SHOWN}.`)];
  }

  keyLink(key) {
    return el("a.mono", { href: address(this.name, { key }) }, key);
  }
}

/** A list that is read from the server while it is open, each time that the card is shown anew. */
class Opened {
  constructor(title, read, draw) {
    this.read = read;
    this.draw = draw;
    this.list = slot(el("ul.flow-keys"));
    this.element = el("details", { ontoggle: () => this.fill() }, el("summary", {}, title), this.list.element);
  }

  /** Whether there is something to open; a list that is open stays, also when nothing is left in it. */
  follow(some) {
    this.element.hidden = !some && !this.element.open;
    this.fill();
  }

  async fill() {
    if (!this.element.open || this.reading) return;
    this.reading = true;
    try {
      const read = await this.read();
      this.list.show(read, () => {
        const rows = this.draw(read);
        return rows.flat().some(Boolean) ? rows : el("li.hint", {}, "Nothing any more.");
      });
    } catch (error) {
      if (error.name !== "AbortError") this.list.show(error.message, () => el("li", {}, explain(error)));
    }
    this.reading = false;
  }
}

function aboutTarget({ mode, deletes, target }) {
  return [
    MODES[mode] ?? mode, deletes === "propagate" ? " and deletions" : null, " go to ", el("code", {}, target.address ?? `${target.kind}, address unknown yet`),
    target.table ? [", table ", el("code", {}, target.table)] : null,
  ];
}

function troubleOf({ state, last_error: error }) {
  const isWell = state === "idle" || state === "sending";
  if (!error) return isWell ? null : el("div.failure", {}, el("p", {}, STATES[state]?.[2] ?? state));
  if (isWell) return el("p.hint", {}, "Failed last ", since(error.at), `: ${error.text}`);
  return el("div.failure", {}, el("p", {}, el("strong", {}, `${STATES[state]?.[2] ?? state}. `), "Failed ", since(error.at), `: ${error.text}`));
}

function passedOn(name, { passed_on: passed, set_aside: aside, skipped }) {
  const told = [passed ? `${plural(passed, "key")} passed on` : null, aside ? `${count(aside)} refused` : null, skipped ? `${count(skipped)} skipped` : null].filter(Boolean);
  return `${name}: ${told.join(", ") || "nothing waited"}`;
}

function signed(sum) {
  return `${sum > 0 ? "+" : sum < 0 ? "−" : ""}${count(Math.abs(sum))}`;
}
