// Figures over time: /metrics is read every two seconds from the moment the page is opened, whatever view is open, so that
// the last minutes are there when somebody looks. Nothing is stored on the server for it.

import * as api from "./api.js";

export const EVERY_MS = 2000;
const KEPT_MS = 15 * 60 * 1000;

/** What this page and probes ask for themselves is left out of the requests: an idle server shows none. */
const OWN = new Set(["metrics", "readyz", "livez", "health", "ui", "docs", "openapi", "postman", "problem_page", "list_sources", "mirrors", "list_sinks"]);

const samples = [];
const listeners = new Set();
let failure = null;
let timer = null;

/** Begins to read; a failure is told and tried again. */
export function start() {
  timer ??= setInterval(take, EVERY_MS);
  take();
}

/** Calls `listener(samples, failure)` now and after each reading; returns what ends that. */
export function follow(listener) {
  listeners.add(listener);
  listener(samples, failure);
  return () => listeners.delete(listener);
}

/** Reads at once, for who has just entered a token. */
export async function take() {
  try {
    const response = await api.request("GET", "/metrics", { silent: true });
    samples.push(parse(await response.text(), Date.now()));
    while (samples[0].at < Date.now() - KEPT_MS) samples.shift();
    failure = null;
  } catch (error) {
    failure = error;
  }
  for (const listener of listeners) listener(samples, failure);
}

const LINE = /^standpipe_(\w+)(?:\{([^}]*)\})? (\S+)/;

/** One reading: plain figures by name, requests by operation and status, durations by operation. */
function parse(text, at) {
  const sample = { at, figures: {}, requests: [], durations: new Map() };
  for (const line of text.split("\n")) {
    const found = LINE.exec(line);
    if (!found) continue;
    const [, name, labelled, number] = found;
    const value = Number(number);
    if (!labelled) {
      sample.figures[name] = value;
      continue;
    }
    const labels = Object.fromEntries([...labelled.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, text]) => [label, text]));
    if (OWN.has(labels.operation)) continue;
    if (name === "http_requests_total") sample.requests.push({ ...labels, value });
    else if (name === "http_request_duration_seconds_bucket") {
      if (!sample.durations.has(labels.operation)) sample.durations.set(labels.operation, []);
      sample.durations.get(labels.operation).push({ most: labels.le === "+Inf" ? Infinity : Number(labels.le), value });
    }
  }
  return sample;
}

/** Names of the operations that were ever counted. */
export function operations(last) {
  return last ? [...new Set(last.requests.map((each) => each.operation))].sort() : [];
}

/** Requests per second between two readings, of those that `wanted` accepts. */
export function requestRate(before, after, wanted) {
  const sum = (sample) => sample.requests.filter(wanted).reduce((total, each) => total + each.value, 0);
  return rate(sum(before), sum(after), before, after);
}

/** The growth of a total per second; null where a restart made it smaller. */
export function totalRate(before, after, name) {
  return rate(before.figures[name], after.figures[name], before, after);
}

function rate(from, to, before, after) {
  return to >= from && after.at > before.at ? ((to - from) * 1000) / (after.at - before.at) : null;
}

/**
 * The durations, in seconds, below which the parts `shares` of the requests between two readings were answered; null where
 * there were none. Within a bucket the requests are taken to be spread evenly, as Prometheus does.
 */
export function percentiles(before, after, operation, shares) {
  const buckets = new Map();
  const add = (sample, sign) => {
    for (const [name, list] of sample.durations) {
      if (operation && name !== operation) continue;
      for (const { most, value } of list) buckets.set(most, (buckets.get(most) ?? 0) + sign * value);
    }
  };
  add(after, 1);
  add(before, -1);
  const bounds = [...buckets.keys()].sort((a, b) => a - b);
  const all = buckets.get(Infinity) ?? 0;
  return shares.map((share) => {
    if (all <= 0) return null;
    let [below, count] = [0, 0];
    for (const most of bounds) {
      const upTo = buckets.get(most);
      if (upTo >= share * all) {
        // The last bucket has no end: what is known is that it took longer than the bound before it.
        if (most === Infinity) return below;
        return below + ((most - below) * (share * all - count)) / (upTo - count);
      }
      [below, count] = [most, upTo];
    }
    return below;
  });
}
