// Scheduled sources: what is fetched by the clock, how the last run went, when the next one is due, and a run at once.

import * as api from "./api.js";
import { button, el, explain, toast } from "./dom.js";
import { Card, badge, coming, elapsed, momentOf, setOff, since } from "./flow.js";
import { bytes, count, plural } from "./format.js";
import { address } from "./keys.js";

const STATES = {
  ok: ["ok", "good", "The last run went well"],
  failing: ["failing", "bad", "The last run failed"],
  running: ["running", "", "A run goes on"],
  waiting: ["waiting", "", "It has not run yet"],
  invalid: ["invalid", "bad", "What the configuration file says of it cannot be done"],
};
const KINDS = { static: "Fixed words", http: "An HTTP request", file: "A file" };
const RULE = "second, minute, hour, day of the month, month, day of the week; or every so often";
const ASK_AGAIN_MS = 250;
const RUN_TAKES_MS = 120_000;

/** What the view knows of sources. */
export const sources = {
  title: "Sources",
  path: "/sources",
  says: "Values that are fetched by the clock and kept under the names of their sources.",
  none: "No source is configured",
  how: "Fixed words, an HTTP request or a file, under a name, with a rule that says when. Add it to the configuration file; it is taken up within seconds.",
  example: `sources:
  motd:
    rule: '@every 90s'        # or six fields, the second first: '0 */2 * * * *'
    http: { endpoint: 'http://127.0.0.1:9000/motd' }
  report: { rule: '@hourly', file: { path: report.csv } }
`,
  name: (item) => item.name,
  card: (item, view) => new SourceCard(item, view),
  isTroubled: (item) => item.state === "failing" || item.state === "invalid" || item.stale,
  sum(items) {
    const failing = items.filter(this.isTroubled).length;
    return { text: plural(items.length, "source"), bad: failing ? `${count(failing)} failing` : null };
  },
};

class SourceCard extends Card {
  constructor(item, view) {
    super(item.name);
    this.view = view;
    this.run = button("Run now", "", () => this.runNow());
    this.value = el("a.button", {}, "Show the value");
    this.buttons.append(this.run, this.value);
  }

  show(item) {
    this.item = item;
    this.badges.show([item.state, item.stale], () => [
      badge(...STATES[item.state] ?? [item.state, "", null]),
      item.stale && badge("stale", "warn", "The value is older than it should be: the last good one stays until a run goes well"),
    ]);
    this.about.show([item.kind, item.rule, item.keyspace], () => item.kind && [
      KINDS[item.kind] ?? item.kind, ", by the rule ", el("code", { title: RULE }, item.rule), ", into ", el("a", { href: address(item.keyspace) }, item.keyspace),
    ]);
    this.at = momentOf(item.age_ms, this.at);
    const isValid = item.state !== "invalid";
    this.showFacts([
      ["Value", isValid || item.size !== null ? item.size ?? "none" : null, () => (item.size === null ? "none yet" : bytes(item.size))],
      ["Age", this.at, () => elapsed(this.at), "Since the value was last known to be the newest one"],
      ["Last run", isValid ? item.last_run ?? "none" : null, () => (item.last_run ? since(item.last_run) : "none yet"), "Since the start of the server"],
      ["Last success", item.state === "failing" ? item.last_success ?? "none" : null, () => (item.last_success ? since(item.last_success) : "none yet"), "Since the start of the server"],
      ["Next run", isValid ? item.next_run ?? "never" : null, () => (item.next_run ? coming(item.next_run) : "never"), "As its rule says; it can be run by hand as well"],
      ["Runs", isValid ? [item.runs, item.failures] : null, () => [count(item.runs), item.failures ? el("span.soft", {}, `, ${count(item.failures)} failed`) : null], "Since the start of the server"],
    ]);
    this.trouble.show([item.state, item.reason, item.last_error], () => troubleOf(item));
    this.run.hidden = !isValid;
    if (!this.acting) setOff(this.run, item.state === "running");
    this.value.hidden = item.size === null || !item.keyspace;
    if (item.keyspace) this.value.href = address(item.keyspace, { key: item.name });
  }

  /** Begins a run and waits for how it ends: the answer to the request only says that it has begun. */
  runNow() {
    this.act(this.run, "Running…", async () => {
      const before = this.item.runs;
      await api.request("POST", `/sources/run${api.path(this.name)}`);
      const item = await this.ended(before);
      if (item) sayHow(item);
    });
  }

  /** The source when a run more than `before` has ended; null where that takes too long. */
  async ended(before) {
    const end = Date.now() + RUN_TAKES_MS;
    while (Date.now() < end && this.element.isConnected) {
      await this.view.load();
      if (this.item.state !== "running" && this.item.runs > before) return this.item;
      await new Promise((resolve) => { setTimeout(resolve, ASK_AGAIN_MS); });
    }
    return null;
  }
}

function sayHow({ name, state, size, last_error: error }) {
  if (state === "failing") toast(`${name} failed: ${error?.detail ?? "see its card"}`, "wrong");
  else toast(`${name} ran well${size === null ? "" : `: ${bytes(size)}`}`);
}

function troubleOf({ state, reason, last_error: error, size }) {
  if (state === "invalid") return el("div.failure", {}, explain({ title: "It cannot run:", detail: sentence(reason ?? "The log says why.") }));
  if (!error) return null;
  if (state !== "failing") return el("p.hint", {}, "Failed last ", since(error.at), `: ${error.detail}`);
  const kept = size === null ? "" : "The last good value stays. ";
  return el("div.failure", {}, el("p", {}, el("strong", {}, "Failed "), since(error.at), `: ${sentence(error.detail)} ${kept}`, el("code", {}, error.code)));
}

/** A text of the server as a sentence among others. */
function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
