// Mirrors: keyspaces that follow somebody else, whom, whether they do at the moment, and how old what they serve may be.

import { el } from "./dom.js";
import { Card, badge, coming, elapsed, momentOf, since, slot, watchAddress } from "./flow.js";
import { bytes, count, plural } from "./format.js";
import { address } from "./keys.js";

const STATES = {
  following: ["following", "good", "Every change is told as it happens"],
  polling: ["polling", "good", "The upstream cannot stream and is asked from time to time"],
  connecting: ["connecting", "", "The upstream is called, or tells what is there"],
  waiting: ["waiting", "bad", "The last attempt failed; another one is made after a pause"],
};
const KINDS = { standpipe: "Another Standpipe", smartcore: "A Smart Core server" };
const RECEIPTS = { accepted: "good", rejected: "bad", no_signal: "warn" };

/** What the view knows of mirrors. */
export const mirrors = {
  title: "Mirrors",
  path: "/mirrors",
  says: "Keyspaces that follow somebody else and are only read here.",
  none: "No mirror is configured",
  how: "A keyspace can follow a keyspace of another Standpipe, or publications of a Smart Core server, and stays readable while that one is away.",
  example: `keyspaces:
  flags:
    mirror:
      standpipe: { endpoint: 'https://central.example:8080', keyspace: flags }
`,
  name: (item) => item.keyspace,
  card: (item) => new MirrorCard(item),
  isTroubled: (item) => item.state === "waiting" || item.error !== null || item.unstored > 0,
  sum(items) {
    const lost = items.filter(({ state }) => state === "waiting").length;
    const others = items.filter(this.isTroubled).length - lost;
    const bad = [lost ? `${count(lost)} not followed` : null, others ? `${count(others)} with trouble` : null].filter(Boolean).join(", ");
    return { text: plural(items.length, "mirror"), bad: bad || null };
  },
};

class MirrorCard extends Card {
  constructor(item) {
    super(item.keyspace);
    this.moments = new Map();
    this.summary = el("summary");
    this.keys = slot(el("ul.flow-keys"));
    this.details = el("details", { ontoggle: () => this.showKeys() }, this.summary, this.keys.element);
    this.more.append(this.details);
    this.buttons.append(el("a.button", { href: address(item.keyspace) }, "Browse"), el("a.button", { href: watchAddress(item.keyspace) }, "Watch"));
  }

  show(item) {
    this.item = item;
    this.badges.show([item.state, item.stale], () => [
      badge(...STATES[item.state] ?? [item.state, "", null]),
      item.stale && badge("stale", "warn", "The upstream may have something else by now"),
    ]);
    this.about.show(item.upstream, () => aboutUpstream(item.upstream));
    this.at = momentOf(item.age_ms, this.at);
    const isLive = item.state === "following" && item.age_ms === 0;
    this.showFacts([
      ["Age", isLive ? "live" : this.at ?? "unknown", () => (isLive ? "live" : this.at ? elapsed(this.at) : "unknown"),
        "Since it was last known that everything here is what the upstream has; unknown where that was never so since the start"],
      ["Last event", item.last_event_at ?? "nothing", () => (item.last_event_at ? since(item.last_event_at) : "nothing yet"), "Since the start of the server"],
      ["Next attempt", item.next_attempt_at, () => coming(item.next_attempt_at)],
      ["Not stored yet", item.unstored ? [item.unstored, item.unstored_bytes] : null, () => `${plural(item.unstored, "key")}, ${bytes(item.unstored_bytes)}`,
        "Served from memory because the disk does not take them; a restart gets them from the upstream again"],
    ]);
    this.trouble.show(item.error, () => item.error && el("div.failure", {}, el("p", {}, el("strong", {}, item.state === "waiting" ? "It cannot be followed now: " : "Not all is well: "), item.error)));
    this.details.hidden = !item.keys_in_all;
    const what = item.upstream.kind === "smartcore" ? plural(item.keys_in_all, "publication") : `${plural(item.keys_in_all, "key")} with something to say`;
    const text = item.keys.length < item.keys_in_all ? `${what}, the first ${count(item.keys.length)} shown` : what;
    if (this.summary.textContent !== text) this.summary.textContent = text;
    this.showKeys();
  }

  /** The keys, where somebody looks at them. */
  showKeys() {
    if (!this.details.open || !this.item) return;
    const { keyspace, keys } = this.item;
    const rows = keys.map((key) => {
      this.moments.set(key.key, momentOf(key.age_ms, this.moments.get(key.key)));
      return { ...key, age_ms: null, at: this.moments.get(key.key), isLive: key.age_ms === 0 };
    });
    this.keys.show(rows, () => rows.map((key) => keyRow(keyspace, key)));
  }
}

function aboutUpstream({ kind, endpoint, keyspace, prefix, device }) {
  const whom = [`${KINDS[kind] ?? kind} at `, el("code", {}, endpoint)];
  if (device) whom.push(", device ", el("code", {}, device));
  if (keyspace) whom.push(", keyspace ", el("code", {}, keyspace));
  if (prefix) whom.push(", keys that start with ", el("code", {}, prefix));
  return whom;
}

function keyRow(keyspace, key) {
  const { audience } = key;
  return el("li", {},
    el("div", {}, el("a.mono", { href: address(keyspace, { key: key.key }) }, key.key), " ",
      key.state && badge(...STATES[key.state] ?? [key.state, "", null]),
      key.unstored && badge("not stored yet", "warn", "It is served from memory because the disk does not take it"),
      key.deleted_upstream && badge("deleted upstream", "warn", "It is kept here, as the mirror is told to"),
      audience?.receipt && badge(audience.receipt.replace("_", " "), RECEIPTS[audience.receipt], `What ${audience.name || "the audience"} says of it`)),
    el("p.hint", {}, parts([
      key.version && ["version ", el("code", {}, key.version)],
      key.published_at && ["published ", since(key.published_at)],
      audience?.name && `for ${audience.name}`,
      audience?.receipt_at && [`${audience.receipt.replace("_", " ")} `, since(audience.receipt_at)],
      key.state && (key.isLive && key.state === "following" ? "live" : key.at && ["as of ", since(key.at)]),
      key.next_attempt_at && ["asked for again ", coming(key.next_attempt_at)],
    ])),
    audience?.rejected_reason && el("p.wrong", {}, `Rejected: ${audience.rejected_reason}`),
    key.error && el("p.wrong", {}, key.error));
}

/** What there is of some parts, with points between them. */
function parts(all) {
  return all.filter(Boolean).map((part, at) => [at ? " · " : "", part]);
}
