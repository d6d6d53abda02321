// The frame: which view is open, the theme, the token, the server's state, the keys that work everywhere.

import * as api from "./api.js";
import { dialog, el, field, icon, toast } from "./dom.js";
import * as figures from "./figures.js";
import * as flows from "./flows.js";
import * as keys from "./keys.js";
import * as keyspaces from "./keyspaces.js";
import * as samples from "./samples.js";
import * as watch from "./watch.js";

const VIEWS = { keys, watch, keyspaces, flows, figures };
const TITLES = { keys: "Keys", watch: "Watch", keyspaces: "Keyspaces", flows: "Data flows", figures: "Figures" };
const STATE_EVERY_MS = 5000;

const main = document.getElementById("main");
let open = null;

/** The view, the keyspace and the parameters that the address names: `#/keys/default?prefix=a`. */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [view, keyspace] = path.split("/");
  return {
    view: Object.hasOwn(VIEWS, view) ? view : "keys",
    keyspace: keyspace ? decodeURIComponent(keyspace) : null,
    parameters: new URLSearchParams(query),
  };
}

function show() {
  const now = route();
  for (const link of document.querySelectorAll(".views a")) {
    const here = link.getAttribute("href") === `#/${now.view}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[now.view]} · Standpipe`;
  if (open?.name === now.view) {
    open.view.update(now);
    return;
  }
  open?.view.close();
  main.replaceChildren();
  open = { name: now.view, view: VIEWS[now.view].open(main, now) };
}

// The theme goes round: as the system has it, dark, light.

const THEMES = ["system", "dark", "light"];

function theme() {
  return document.documentElement.dataset.theme ?? "system";
}

function showTheme() {
  const button = document.getElementById("theme");
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  const label = `Theme: ${theme()}. Switch to ${next}`;
  button.replaceChildren(icon(theme()));
  button.title = label;
  button.setAttribute("aria-label", label);
  return next;
}

function switchTheme() {
  const next = showTheme();
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("standpipe-theme");
    else localStorage.setItem("standpipe-theme", next);
  } catch {
    // It holds until the page is left.
  }
  showTheme();
}

// The token: asked for when the server wants one, kept in memory, forgotten on demand.

async function askForToken(why) {
  const input = el("input", { type: "password", name: "token", autocomplete: "off", spellcheck: false, required: !api.hasToken() });
  const given = await dialog({
    title: "Token",
    body: el("div.stack", {},
      el("p", {}, why),
      field("Bearer token", input, "It is kept in the memory of this page only: a reload or closing the page forgets it."),
    ),
    action: api.hasToken() ? "Use it" : "Continue",
    submit: () => input.value.trim(),
  });
  if (given === undefined) return null;
  api.setToken(given);
  showToken();
  samples.take();
  return given;
}

function showToken() {
  const button = document.getElementById("token");
  const label = api.hasToken() ? "Token: one is in use. Change or forget it" : "Token: none in use. Enter one";
  button.replaceChildren(icon("key"));
  button.title = label;
  button.setAttribute("aria-label", label);
  button.classList.toggle("in-use", api.hasToken());
}

async function changeToken() {
  const before = api.hasToken();
  const given = await askForToken(before ? "An empty field forgets the one in use." : "Where the server has tokens, this page sends yours with every request.");
  if (given === null) return;
  toast(given ? "The token is in use" : "The token is forgotten");
  open?.view.close();
  main.replaceChildren();
  open = null;
  show();
}

// The state of the server, as /readyz tells it.

async function showState() {
  const place = document.getElementById("state");
  const say = (text, kind) => {
    if (place.textContent !== text) place.textContent = text;
    place.className = `state ${kind}`;
  };
  try {
    const response = await fetch("/readyz", { cache: "no-store" });
    const told = await response.json().catch(() => ({}));
    const word = told.status ?? (response.ok ? "ok" : "not ready");
    if (response.ok) say("Ready", "good");
    else if (word === "starting") say(progressOf(told), "wait");
    else say(word[0].toUpperCase() + word.slice(1), word === "draining" ? "wait" : "bad");
  } catch {
    say("No answer", "bad");
  }
}

function progressOf(told) {
  const percent = told.progress?.percent ?? told.percent;
  return percent === undefined ? "Starting" : `Starting, ${Math.floor(percent)} %`;
}

// Keys that work everywhere, outside of fields.

const KEYBOARD = [
  ["/", "search"], ["n", "new key or keyspace"], ["r", "load again"], ["↑ ↓", "through the list of keys"],
  ["Enter", "open, confirm"], ["Esc", "close an entry or a dialog"], ["1 … 5", "Keys, Watch, Keyspaces, Flows, Figures"], ["?", "this list"],
];

async function showHelp() {
  const rows = KEYBOARD.map(([key, does]) => el("li", {}, el("span", {}, key.split(" ").map((part) => [el("kbd", {}, part), " "])), does));
  const links = [["/docs/", "All operations"], ["/openapi.json", "OpenAPI document"], ["/postman.json", "Postman collection"], ["/limits", "Limits"], ["/metrics", "Metrics as text"]];
  await dialog({
    title: "Keyboard and links",
    body: el("div.stack", {}, el("ul.shortcuts", {}, rows), el("p", {}, links.map(([href, text], at) => [at ? " · " : "", el("a", { href, target: "_blank", rel: "noopener" }, text)]))),
    action: "Close",
    cancel: null,
    submit: () => true,
  });
}

/** The field that a key belongs to. A dialog that has just been closed keeps the focus until its `close` event, and is none any more. */
function fieldOf(target) {
  return target.closest?.("dialog") ? null : target.closest?.("input, textarea, select");
}

function onKey(event) {
  const inField = fieldOf(event.target);
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (inField && event.key !== "Escape") return;
  const views = Object.keys(VIEWS);
  if (event.key === "?") showHelp();
  else if (/^[1-5]$/.test(event.key)) location.hash = `#/${views[Number(event.key) - 1]}`;
  else if (!open?.view.onKey?.(event)) return;
  event.preventDefault();
}

function start() {
  document.getElementById("help").append(icon("help"));
  document.getElementById("help").addEventListener("click", showHelp);
  document.getElementById("theme").addEventListener("click", switchTheme);
  document.getElementById("token").addEventListener("click", changeToken);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  showTheme();
  showToken();
  api.onTokenNeeded(() => askForToken(api.hasToken() ? "The server does not know the token. Enter another one." : "This server shows nothing without a token."));
  window.addEventListener("hashchange", show);
  document.addEventListener("keydown", onKey);
  show();
  showState();
  setInterval(showState, STATE_EVERY_MS);
  samples.start();
}

start();
