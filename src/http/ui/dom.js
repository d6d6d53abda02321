// Elements, icons, dialogs and messages: the few things that every view is made of.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `el("a.quiet", {href}, "text", child)`. Text is always text, never markup. */
export function el(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || (value === false && key !== "spellcheck")) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria") && key !== "list" && key !== "form") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const ICONS = {
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  dark: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  help: "M9.200 9a3 3 0 1 1 4.300 2.700c-1 .5-1.500 1.200-1.500 2.300M12 17.500v.5",
  key: "M8 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 12h9v4M17 12v3",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M5 5l1.700 1.700M17.300 17.300L19 19M5 19l1.700-1.700M17.300 6.700L19 5",
  next: "M9 5l7 7-7 7",
  plus: "M12 5v14M5 12h14",
  refresh: "M20 11a8 8 0 1 0-.5 4M20 5v6h-6",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13zM15.500 15.500L20 20",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};

/** A drawing of 18 pixels that says nothing to a screen reader. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** A button; `kind` is a class: `quiet`, `primary`, `danger`. */
export function button(text, kind, onclick, props = {}) {
  return el(`button${kind ? `.${kind}` : ""}`, { type: "button", onclick, ...props }, text);
}

/** A button that shows a drawing only. */
export function iconButton(name, label, onclick, props = {}) {
  return el("button.quiet.icon", { type: "button", onclick, title: label, "aria-label": label, ...props }, icon(name));
}

let fields = 0;

/** A labelled control, with a hint below it. */
export function field(label, control, hint) {
  control.id ||= `field-${(fields += 1)}`;
  const parts = [el("label", { htmlFor: control.id }, label), control];
  if (hint) {
    const id = `${control.id}-hint`;
    control.setAttribute("aria-describedby", id);
    parts.push(el("p.hint", { id }, hint));
  }
  return el("div.field", {}, parts);
}

/** The options of a choice: `[[value, text], ...]`. */
export function options(choices) {
  return choices.map(([value, text]) => el("option", { value }, text));
}

/** A choice with `value` chosen. */
export function select(choices, value, props = {}) {
  const control = el("select", props, options(choices));
  control.value = value;
  return control;
}

/** Says something for a few seconds; a failure stays until it is closed. */
export function toast(text, kind = "done") {
  const box = el(`div.toast.${kind}`, {}, el("span", {}, text));
  const leave = () => box.remove();
  box.append(iconButton("close", "Close the message", leave));
  document.getElementById("toasts").append(box);
  if (kind === "done") setTimeout(leave, 4000);
}

/**
 * Opens a dialog. Escape and Cancel (where there is one) close it, Enter submits it. `submit` may throw: what went wrong is shown in the dialog,
 * which stays open. Resolves to what `submit` returned, or to undefined when it was cancelled.
 */
export function dialog({ title, body, action, danger = false, submit, cancel = "Cancel" }) {
  return new Promise((resolve) => {
    const failure = el("div.failure", { role: "alert", hidden: true });
    const act = el(danger ? "button.danger" : "button.primary", { type: "submit" }, action);
    const heading = el("h2", { id: `dialog-${(fields += 1)}` }, title);
    let result;
    const form = el("form", { method: "dialog", noValidate: false }, heading, body, failure,
      el("div.actions", {}, cancel && button(cancel, "", () => box.close()), act));
    const box = el("dialog", { "aria-labelledby": heading.id }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      failure.hidden = true;
      act.disabled = true;
      try {
        result = await submit();
        box.close();
      } catch (error) {
        failure.replaceChildren(explain(error));
        failure.hidden = false;
      }
      act.disabled = false;
    });
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    document.body.append(box);
    box.showModal();
    // A dialog that takes something away must not do it on the first Enter.
    const first = danger ? form.querySelector("input") ?? form.querySelector(".actions button") : form.querySelector("input, textarea, select");
    (first ?? act).focus();
  });
}

/** What went wrong, in the server's own words, with the way to its page. */
export function explain(error) {
  const parts = [el("strong", {}, error.title ?? "Something went wrong"), " ", el("span", {}, error.detail ?? error.message)];
  if (error.setting) parts.push(el("span", {}, ` The setting is ${error.setting} (${error.limit}).`));
  if (error.page) parts.push(" ", el("a", { href: error.page, target: "_blank", rel: "noopener" }, error.code));
  return el("p", {}, parts);
}

/** A whole place that could not be filled, with a way to try again. */
export function failed(error, again) {
  return el("div.empty", { role: "alert" }, explain(error), again ? button("Try again", "", again) : null);
}

/** A whole place that a token is missing for, with the way to enter one. */
export function closed(title, error) {
  const enter = button("Enter a token", "", () => document.getElementById("token").click());
  const why = error.status === 401 ? "Without a token this server shows none." : `For now, ${error.detail}.`;
  return el("div.empty", { role: "alert" }, el("h2", {}, title), el("p", {}, why), enter);
}

/** A place where there is nothing yet. */
export function empty(title, text, ...actions) {
  return el("div.empty", {}, el("h2", {}, title), text ? el("p", {}, text) : null, actions);
}

/** Bars where something will be in a moment. */
export function loading(lines = 5) {
  return el("div.loading", { "aria-busy": "true", "aria-label": "Loading" }, Array.from({ length: lines }, () => el("span")));
}

/** A moment as seen from now, `write(moment)`, kept true while it is shown; the exact time is its title. */
export function clock(at, write, exact) {
  const element = el("time", { dateTime: at, title: exact }, write(at));
  const timer = setInterval(() => {
    if (element.isConnected) element.textContent = write(at);
    else clearInterval(timer);
  }, 1000);
  return element;
}

/** Puts text into the clipboard, where the browser allows it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("The browser did not allow access to the clipboard", "wrong");
  }
}
