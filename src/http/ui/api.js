// The one place that speaks to the server. The token lives in a variable of this module and nowhere else.

let token = null;
let asking = null;
let askForToken = async () => null;

/** A failed request, in the words of its `application/problem+json`. */
export class Problem extends Error {
  constructor(status, document = {}, etag = null) {
    super(document.detail ?? `The server answered ${status}.`);
    Object.assign(this, document, { status, etag, detail: this.message });
    this.title = document.title ?? "The request failed";
    this.page = document.type?.startsWith("/problems/") ? document.type : null;
  }
}

/** How the person is asked for a token: `ask()` resolves to the token, or to null. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** The token of this page's memory. */
export function setToken(text) {
  token = text || null;
}

/** Whether there is one. */
export function hasToken() {
  return token !== null;
}

/** Path segments joined, each escaped: a slash in a key stays part of the key. */
export function path(...segments) {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join("");
}

/** The path of a key. A browser folds `.` and `..` away before it sends them, so those two have no path here. */
export function keyPath(keyspace, resource, key) {
  if (key === "." || key === "..") {
    throw new Problem(0, {
      title: "Out of a browser's reach",
      detail: `A browser cannot send the path of the key “${key}”. The batch operation takes it, and so does curl with --path-as-is.`,
    });
  }
  return path("keyspaces", keyspace, resource, key);
}

function target(where, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `${where}?${new URLSearchParams(given)}` : where;
}

async function send(method, where, { query, headers, body, signal } = {}) {
  const all = new Headers(headers);
  if (token) all.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(target(where, query), { method, headers: all, body, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "The server does not answer", detail: "The connection failed. It may be stopping or starting; try again in a moment.", code: "unreachable" });
  }
}

/** Sends a request and returns the Response of a success or a 304; throws a Problem otherwise. */
export async function request(method, where, options = {}) {
  for (;;) {
    const used = token;
    const response = await send(method, where, options);
    if (response.ok || response.status === 304) return response;
    const problem = await problemOf(response);
    if (response.status !== 401 || options.silent) throw problem;
    // Requests that fail together ask together; one of them may have brought a new token already.
    if (used === token) {
      asking ??= askForToken().finally(() => { asking = null; });
      if (!(await asking)) throw problem;
    }
  }
}

async function problemOf(response) {
  const etag = response.headers.get("ETag");
  const type = response.headers.get("Content-Type") ?? "";
  try {
    if (type.startsWith("application/problem+json")) return new Problem(response.status, await response.json(), etag);
  } catch {
    // It ended in the middle: the status has to be enough.
  }
  return new Problem(response.status, {}, etag);
}

/** A request whose answer is JSON. */
export async function json(method, where, options = {}) {
  return (await request(method, where, options)).json();
}

/** A request whose body and answer are JSON. */
export function sendJson(method, where, value, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers };
  return request(method, where, { ...options, headers, body: JSON.stringify(value) });
}

/** Every keyspace, by name. */
export async function keyspaces(options) {
  return (await json("GET", "/keyspaces", options)).items;
}

/**
 * Server-sent events (the HTML standard, section 9.2), one by one, until the stream ends. EventSource cannot send a token,
 * so the stream is read and taken apart here. A heartbeat is an event without data. `opened` is told when it has begun.
 */
export async function* events(where, options) {
  const response = await request("GET", where, { ...options, headers: { Accept: "text/event-stream", ...options.headers } });
  options.opened?.();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { type: "message", data: [], id: null };
  for (;;) {
    let chunk;
    try {
      chunk = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { title: "The stream broke off", detail: "The connection was lost.", code: "unreachable" });
    }
    if (chunk.done) return;
    const lines = (rest + chunk.value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        yield { ...event, data: event.data.join("\n") };
        event = { type: "message", data: [], id: null };
        continue;
      }
      const [, name, value] = /^([^:]*):? ?([^]*)$/.exec(line);
      if (name === "event") event.type = value;
      else if (name === "data") event.data.push(value);
      else if (name === "id") event.id = value;
    }
  }
}
