// Figures: what the server does now and did in the last minutes.

import * as api from "./api.js";
import { button, closed, el, failed, select, toast } from "./dom.js";
import { bytes, count, plural, seconds, short } from "./format.js";
import { Chart } from "./chart.js";
import * as samples from "./samples.js";

const SHARES = [0.5, 0.95, 0.99];

/** A page that was opened just now shows at least this much, and more as there is more. */
const LEAST_MS = 60_000;

/** Opens the view in `main`. */
export function open(main) {
  return new Figures(main);
}

/** A chart whose values come from two readings that follow each other. */
function between(options, values) {
  return { chart: new Chart(options), points: (list, chosen) => list.slice(1).map((after, at) => ({ at: after.at, values: values(list[at], after, chosen) })) };
}

/** A chart of figures as they stand. */
function standing(options, names) {
  return { chart: new Chart(options), points: (list) => list.map(({ at, figures }) => ({ at, values: names.map((name) => figures[name] ?? null) })) };
}

function charts() {
  const status = (chosen, digits) => (each) => (!chosen || each.operation === chosen) && digits.includes(each.status[0]);
  return [
    between({ title: "Requests per second", hint: "Without probes and what this page asks for itself", write: short, lines: [{ name: "done", kind: "a" }, { name: "refused (4xx)", kind: "b" }, { name: "failed (5xx)", kind: "d" }] },
      (before, after, chosen) => ["123", "4", "5"].map((digits) => samples.requestRate(before, after, status(chosen, digits)))),
    between({ title: "Latency", hint: "From the request's head to its answer, inside the server", write: seconds, lines: [{ name: "p50", kind: "a" }, { name: "p95", kind: "b" }, { name: "p99", kind: "c" }] },
      (before, after, chosen) => samples.percentiles(before, after, chosen, SHARES)),
    standing({ title: "Entries", write: short, lines: [{ name: "all", kind: "a" }, { name: "that expire", kind: "b" }] }, ["store_entries", "store_expiring_entries"]),
    standing({ title: "Memory", hint: "Of the process; of entries; of the tables around them", write: bytes, base: 1024, lines: [{ name: "process", kind: "a" }, { name: "entries", kind: "b" }, { name: "tables", kind: "c" }] },
      ["process_resident_memory_bytes", "store_entry_bytes", "store_overhead_bytes"]),
    between({ title: "Log written per second", write: bytes, base: 1024, lines: [{ name: "bytes", kind: "a" }] },
      (before, after) => [samples.totalRate(before, after, "store_log_written_bytes_total")]),
    between({ title: "Syncs of the log", hint: "How often the disk was asked to keep what was written", write: short, lines: [{ name: "per second", kind: "a" }, { name: "records per sync", kind: "b" }] },
      (before, after) => {
        const syncs = samples.totalRate(before, after, "store_log_syncs_total");
        const records = samples.totalRate(before, after, "store_log_records_total");
        return [syncs, syncs ? records / syncs : null];
      }),
    between({ title: "Time of a sync", hint: "The mean time that the disk took", write: seconds, lines: [{ name: "mean", kind: "a" }] },
      (before, after) => {
        const syncs = samples.totalRate(before, after, "store_log_syncs_total");
        return [syncs ? samples.totalRate(before, after, "store_log_sync_seconds_total") / syncs : null];
      }),
    { ...standing({ title: "Log and snapshot", hint: "What a start has to replay, and the newest snapshot; a line stands where a snapshot was made", write: bytes, base: 1024, lines: [{ name: "log to replay", kind: "a" }, { name: "snapshot", kind: "b" }] },
      ["store_log_replay_bytes", "store_snapshot_bytes"]),
    marks: (list) => list.slice(1).filter((after, at) => after.figures.store_snapshots_total > list[at].figures.store_snapshots_total).map(({ at }) => at) },
  ];
}

class Figures {
  constructor(main) {
    this.charts = charts();
    this.minutes = select([["1", "1 minute"], ["5", "5 minutes"], ["15", "15 minutes"]], "5", { "aria-label": "How far back", onchange: () => this.show() });
    this.operation = el("select", { "aria-label": "Operation", onchange: () => this.show() }, el("option", { value: "" }, "All operations"));
    this.tiles = el("dl.tiles");
    this.problem = el("div");
    this.grid = el("div.charts", {}, this.charts.map(({ chart }) => chart.element));
    main.append(el("div.wide", {},
      el("div.head.many", {}, el("h1", {}, "Figures"), el("div", {}, this.operation), el("div", {}, this.minutes), button("Make a snapshot", "", (event) => this.snapshot(event.target))),
      this.problem, this.tiles, this.grid));
    this.stop = samples.follow((list, failure) => this.show(list, failure));
  }

  show(list = this.list, failure = null) {
    this.list = list;
    this.problem.replaceChildren(...(failure ? [this.failure(failure)] : []));
    this.grid.hidden = list.length === 0;
    this.tiles.hidden = list.length === 0;
    if (!list.length) return;
    this.showOperations(list.at(-1));
    this.showTiles(list);
    const to = list.at(-1).at;
    const from = to - Math.min(Number(this.minutes.value) * 60_000, Math.max(LEAST_MS, to - list[0].at));
    // One reading before the first that is shown: rates need it.
    const first = Math.max(0, list.findIndex((sample) => sample.at >= from) - 1);
    const shown = list.slice(first);
    const inside = ({ at }) => at >= from;
    for (const { chart, points, marks } of this.charts) {
      chart.show(points(shown, this.operation.value).filter(inside), from, to, marks?.(shown).filter((at) => at >= from));
    }
  }

  failure(error) {
    if (error.status === 401 || error.status === 403) return closed("Figures need a token with the verb admin", error);
    return failed(error, () => samples.take());
  }

  showOperations(last) {
    const known = new Set([...this.operation.options].map((option) => option.value));
    for (const name of samples.operations(last)) {
      if (!known.has(name)) this.operation.append(el("option", { value: name }, name.replaceAll("_", " ")));
    }
  }

  showTiles(list) {
    const { figures } = list.at(-1);
    const before = list.at(-2);
    const rate = before ? samples.requestRate(before, list.at(-1), () => true) : null;
    const [p99] = samples.percentiles(list[Math.max(0, list.length - 31)], list.at(-1), "", [0.99]);
    const tiles = [
      ["Entries", count(figures.store_entries ?? 0)],
      ["Memory of the process", figures.process_resident_memory_bytes ? bytes(figures.process_resident_memory_bytes) : "–"],
      ["Requests per second", rate === null ? "–" : short(rate)],
      ["p99 of the last minute", p99 === null ? "–" : seconds(p99)],
      ["Revision", count(figures.store_revision ?? 0)],
      ["Snapshots since the start", count(figures.store_snapshots_total ?? 0)],
    ];
    this.tiles.replaceChildren(...tiles.map(([name, value]) => el("div.tile.card", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  async snapshot(pressed) {
    pressed.disabled = true;
    try {
      const made = await api.json("POST", "/admin/snapshot");
      toast(`Snapshot made: ${plural(made.entries, "entry", "entries")}, ${bytes(made.bytes)}`);
      samples.take();
    } catch (error) {
      toast(`${error.title}. ${error.detail}`, "wrong");
    }
    pressed.disabled = false;
  }

  update() {}

  /** The keys of this view. Says whether it was one. */
  onKey(event) {
    if (event.key !== "r") return false;
    samples.take();
    return true;
  }

  close() {
    this.stop();
    for (const { chart } of this.charts) chart.close();
  }
}
