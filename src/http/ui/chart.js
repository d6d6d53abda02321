// A line chart, drawn by hand: times to the right, values up, a crosshair for the mouse and the arrow keys.

import { el, svg } from "./dom.js";

const HEIGHT = 180;
const INSET = { left: 58, right: 8, top: 10, bottom: 22 };
const GAP = 3.5;

/** A chart called `title`; `lines` are `{name, kind}`, `write` turns a value into text, `base` is 1024 for bytes. */
export class Chart {
  constructor({ title, hint, lines, write, base = 10 }) {
    Object.assign(this, { title, lines, write, base, points: [], marks: [], at: null });
    this.legend = lines.map(() => el("b"));
    const legends = lines.map(({ name, kind }, at) => el("span.legend", {},
      svg("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" }, svg("path", { d: "M1 4H17", class: `line ${kind}` })), name, " ", this.legend[at]));
    this.plot = svg("svg", { class: "plot", tabindex: "0", role: "img" });
    this.tip = el("p.tip", { role: "status" });
    this.element = el("figure.chart.card", {}, el("figcaption", {}, el("h2", { title: hint }, title), legends), this.plot, this.tip);
    this.plot.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.plot.addEventListener("pointerleave", () => this.leave());
    this.plot.addEventListener("blur", () => this.leave());
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.plot);
  }

  /** Shows `points`, each `{at, values}` with a value (or null) for each line, between two times; `marks` are moments. */
  show(points, from, to, marks = []) {
    Object.assign(this, { points, from, to, marks });
    const last = points.at(-1);
    this.legend.forEach((place, at) => {
      const value = last?.values[at];
      place.textContent = value === null || value === undefined ? "–" : this.write(value);
    });
    const now = this.lines.map(({ name }, at) => `${name} ${this.legend[at].textContent}`).join(", ");
    this.plot.setAttribute("aria-label", `${this.title}: ${now}. The arrow keys move through time.`);
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth;
    if (!width || this.from === undefined) return;
    this.plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const top = niceTop(Math.max(0, ...this.points.flatMap(({ values }) => values.filter((value) => value !== null))), this.base);
    this.x = (at) => INSET.left + ((at - this.from) / (this.to - this.from)) * (width - INSET.left - INSET.right);
    this.y = (value) => HEIGHT - INSET.bottom - (value / top) * (HEIGHT - INSET.top - INSET.bottom);
    const parts = [...this.grid(top, width), ...this.times(width)];
    for (const at of this.marks) parts.push(svg("line", { class: "mark", x1: this.x(at), x2: this.x(at), y1: INSET.top, y2: HEIGHT - INSET.bottom }));
    this.lines.forEach(({ kind }, line) => parts.push(...this.path(line, kind)));
    this.cross = svg("g");
    this.plot.replaceChildren(...parts, this.cross);
    if (this.at !== null) this.mark();
    else if (!this.points.length) this.plot.append(text(width / 2 + 20, HEIGHT / 2 - 6, "Two readings make a line; the second is on its way", "middle"));
  }

  grid(top, width) {
    return [0, 0.5, 1].flatMap((part) => {
      const y = this.y(top * part);
      return [svg("line", { class: "grid", x1: INSET.left, x2: width - INSET.right, y1: y, y2: y }), text(INSET.left - 8, y + 4, this.write(top * part), "end")];
    });
  }

  times(width) {
    const minutes = (this.to - this.from) / 60000;
    return [0, 0.5, 1].map((part) => {
      const ago = minutes * (1 - part);
      const said = ago === 0 ? "now" : `−${ago < 1 ? `${Math.round(ago * 60)} s` : `${+ago.toFixed(1)} min`}`;
      return text(INSET.left + part * (width - INSET.left - INSET.right), HEIGHT - 5, said, ["start", "middle", "end"][part * 2]);
    });
  }

  /** The line, broken where there is no value; the first one with its area. */
  path(line, kind) {
    let path = "";
    let area = "";
    let begun = null;
    const base = this.y(0);
    const end = (x) => {
      if (begun !== null) area += `L${x} ${base}Z`;
      begun = null;
    };
    let lastX = 0;
    this.points.forEach(({ at, values }, index) => {
      const value = values[line];
      const before = this.points[index - 1];
      const apart = before && at - before.at > GAP * 2000;
      if (value === null || value === undefined || apart) end(lastX);
      if (value === null || value === undefined) return;
      const [x, y] = [this.x(at).toFixed(1), this.y(value).toFixed(1)];
      path += `${begun === null ? "M" : "L"}${x} ${y}`;
      area += begun === null ? `M${x} ${base}L${x} ${y}` : `L${x} ${y}`;
      begun ??= x;
      lastX = x;
    });
    end(lastX);
    const parts = [svg("path", { class: `line ${kind}`, d: path })];
    if (line === 0) parts.unshift(svg("path", { class: "area", d: area }));
    return parts;
  }

  point(x) {
    if (!this.points.length) return;
    const near = this.points.reduce((best, point) => (Math.abs(this.x(point.at) - x) < Math.abs(this.x(best.at) - x) ? point : best));
    this.at = near.at;
    this.mark();
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") this.leave();
    if (step === undefined || !this.points.length) return;
    event.preventDefault();
    const now = this.points.findIndex((point) => point.at === this.at);
    const from = now < 0 ? this.points.length : now;
    this.at = this.points[Math.min(Math.max(from + step, 0), this.points.length - 1)].at;
    this.mark();
  }

  leave() {
    this.at = null;
    this.cross?.replaceChildren();
    this.tip.textContent = "";
  }

  mark() {
    const point = this.points.find(({ at }) => at === this.at);
    if (!point) {
      this.leave();
      return;
    }
    const x = this.x(point.at);
    const dots = this.lines.flatMap(({ kind }, line) => (point.values[line] === null ? [] : [svg("circle", { class: `dot ${kind}`, cx: x, cy: this.y(point.values[line]), r: 3 })]));
    this.cross.replaceChildren(svg("line", { class: "cross", x1: x, x2: x, y1: INSET.top, y2: HEIGHT - INSET.bottom }), ...dots);
    const values = this.lines.map(({ name }, line) => `${name} ${point.values[line] === null ? "–" : this.write(point.values[line])}`);
    this.tip.textContent = `${new Date(point.at).toLocaleTimeString(undefined, { hour12: false })}: ${values.join(", ")}`;
  }

  close() {
    this.resized.disconnect();
  }
}

function text(x, y, said, anchor) {
  return svg("text", { x, y, "text-anchor": anchor }, said);
}

/** The next number that reads well: 1, 2 or 5 times a power of ten, or a power of two where bytes are counted. */
function niceTop(most, base) {
  if (most <= 0) return 1;
  if (base === 1024) return 2 ** Math.ceil(Math.log2(most));
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= most);
}
