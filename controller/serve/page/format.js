// Numbers, lengths and instants for people. Texts only; nothing here touches the document.

export const NONE = "\u2013";

export function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function three(value) {
  return String(parseFloat(value.toPrecision(3)));
}

export function seconds(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-3) return three(value * 1e6) + " \u00b5s";
  if (size < 1) return three(value * 1e3) + " ms";
  if (size < 100) return three(value) + " s";
  if (size < 5400) return Math.floor(size / 60) + " min" + (Math.round(size % 60) ? " " + Math.round(size % 60) + " s" : "");
  if (size < 172800) return three(value / 3600) + " h";
  return Math.round(value / 86400) + " days";
}

export function share(value) {
  return known(value) ? three(value * 100) + " %" : NONE;
}

export function number(value) {
  return known(value) ? three(value) : NONE;
}

export function count(value) {
  const text = String(value ?? "");
  return /^\d+$/.test(text) ? text.replace(/\B(?=(\d{3})+$)/g, "\u2009") : NONE;
}

export function delta(value) {
  if (!known(value)) return NONE;
  return (value > 0 ? "+" : value < 0 ? "\u2212" : "") + seconds(Math.abs(value));
}

// "3.2 s (2.9 s to 3.6 s)"
export function interval(value, low, high) {
  if (!known(value)) return NONE;
  return seconds(value) + (known(low) && known(high) ? " (" + seconds(low) + " to " + seconds(high) + ")" : "");
}

// "01:23.4" for clocks that run.
export function clock(value) {
  if (!known(value) || value < 0) return NONE;
  const whole = Math.floor(value);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const two = (n) => String(n).padStart(2, "0");
  return (hours ? hours + ":" : "") + two(minutes) + ":" + two(whole % 60) + (hours ? "" : "." + Math.floor((value - whole) * 10));
}

const FULL = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const SHORT = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
const DAY = { year: "numeric", month: "short", day: "numeric" };
const styles = new Map();

function local(date, style) {
  if (!styles.has(style)) styles.set(style, new Intl.DateTimeFormat(undefined, style));
  return styles.get(style).format(date);
}

// { short, full, day, utc } of an RFC 3339 instant; null when it is none.
export function instant(text) {
  const date = new Date(typeof text === "string" ? text : NaN);
  if (Number.isNaN(date.getTime())) return null;
  return {
    date, short: local(date, SHORT), full: local(date, FULL), day: local(date, DAY), clock: local(date, CLOCK),
    utc: date.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC").replace("Z", " UTC")
  };
}

// "in 5 min", "3 h ago"
export function from_now(date, now = Date.now()) {
  const gap_s = (date.getTime() - now) / 1000;
  if (Math.abs(gap_s) < 1) return "now";
  const size = Math.abs(gap_s);
  const text = size < 60 ? Math.round(size) + " s" : size < 5400 ? Math.round(size / 60) + " min" : size < 172800 ? Math.round(size / 3600) + " h" : seconds(size);
  return gap_s > 0 ? "in " + text : text + " ago";
}

// What a stranger wrote, made harmless to look at: controls and marks that turn the reading direction become visible.
export function clean(text, longest = 2000) {
  const whole = text === null || text === undefined ? "" : String(text);
  const cut = whole.length > longest ? whole.slice(0, longest) + "\u2026" : whole;
  return cut.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

export function verdict_word(run) {
  return String(run.verdict || "").replaceAll("_", " ");
}

// How a verdict looks and is called: { style, sign, word }.
export function outcome(run) {
  if (run.state === "running") return { style: "running", sign: "\u25cf", word: "running" };
  if (run.state === "queued") return { style: "unsure", sign: "\u2026", word: "queued" };
  switch (run.status) {
    case 0: return { style: "pass", sign: "\u2713", word: "passed" };
    case 1: return { style: "fail", sign: "\u2717", word: "failed" };
    case 2: return { style: "unsure", sign: "?", word: "not decided" };
    case 3: return { style: "abort", sign: "\u25a0", word: "aborted" };
    case 4: return { style: "danger", sign: "!", word: "undo not proven" };
    default: return { style: "unsure", sign: "?", word: run.verdict ? clean(verdict_word(run), 40) : "no verdict" };
  }
}
