// How numbers, times and bytes are written for people. Nothing here changes what is stored.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes: `1.5 KiB`. */
export function bytes(count) {
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} ${UNITS[unit]}`;
}

/** A number with its thousands set apart. */
export function count(number) {
  return Math.round(number).toLocaleString("en-US");
}

/** `1 key`, `2 keys`. */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A short number for an axis: `1.2k`. */
export function short(number) {
  if (number >= 1e9) return `${+(number / 1e9).toFixed(1)}G`;
  if (number >= 1e6) return `${+(number / 1e6).toFixed(1)}M`;
  if (number >= 1e4) return `${+(number / 1e3).toFixed(1)}k`;
  return String(+number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0));
}

/** A number of seconds, from microseconds to days. */
export function seconds(value) {
  if (value === 0) return "0";
  if (value < 1e-3) return `${+(value * 1e6).toFixed(value < 1e-5 ? 1 : 0)} µs`;
  if (value < 1) return `${+(value * 1e3).toFixed(value < 1e-2 ? 2 : value < 0.1 ? 1 : 0)} ms`;
  if (value < 120) return `${+value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${count(value / 86400)} days`;
}

/** When something expires, from now: `in 90 s`. */
export function until(text) {
  const left = Date.parse(text) - Date.now();
  return left > 0 ? `in ${seconds(Math.max(left, 1000) / 1000)}` : "now";
}

/** When something happened: `5 min ago`. */
export function ago(text) {
  const past = Date.now() - Date.parse(text);
  return past < 1500 ? "just now" : `${seconds(past / 1000)} ago`;
}

/** A moment in this machine's own time. */
export function moment(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** Bytes of base64 text. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** The text of bytes, or null where they are no UTF-8. */
export function textOf(value) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    return null;
  }
}

/** Lines of a hex dump: offset, sixteen bytes, the characters that can be shown. */
export function hexDump(value, limit) {
  const lines = [];
  for (let at = 0; at < Math.min(value.length, limit); at += 16) {
    const row = [...value.subarray(at, Math.min(at + 16, limit))];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = digits.slice(0, 8).join(" ").padEnd(23);
    const right = digits.slice(8).join(" ").padEnd(23);
    const shown = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  ${shown}`);
  }
  return lines.join("\n");
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/**
 * JSON laid out in lines, or null where the text is none. Only the space between the tokens changes: numbers and strings
 * stay as they are written, which a parser would not leave them (`1.0`, 12345678901234567890).
 * Each piece is `{text, kind}`, kind being `name`, `text`, `number`, `word` or null.
 */
export function layOut(source) {
  try {
    JSON.parse(source);
  } catch {
    return null;
  }
  const tokens = source.match(TOKEN) ?? [];
  const pieces = [];
  let depth = 0;
  const line = () => pieces.push({ text: `\n${"  ".repeat(depth)}`, kind: null });
  tokens.forEach((token, at) => {
    const next = tokens[at + 1];
    if (token === "{" || token === "[") {
      pieces.push({ text: token, kind: null });
      depth += 1;
      if (next !== "}" && next !== "]") line();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const before = tokens[at - 1];
      if (before !== "{" && before !== "[") line();
      pieces.push({ text: token, kind: null });
    } else if (token === ",") {
      pieces.push({ text: token, kind: null });
      line();
    } else if (token === ":") {
      pieces.push({ text: ": ", kind: null });
    } else {
      pieces.push({ text: token, kind: kindOf(token, next) });
    }
  });
  return pieces;
}

function kindOf(token, next) {
  if (token.startsWith('"')) return next === ":" ? "name" : "text";
  return /^[-\d]/.test(token) ? "number" : "word";
}
