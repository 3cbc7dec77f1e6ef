// Making elements. Every text becomes a text node and is cleaned on its way in: nothing that a target, a playbook or a person wrote is
// ever read as markup. There is no other way to make elements in this page.

import { clean, from_now, instant, NONE } from "/format.js";

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "line", "rect", "circle", "path", "text", "polyline", "title"]);
const LINKS = /^(#\/|\/api\/v1\/)/;

function set(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "value" && "defaultValue" in element) element.defaultValue = value; // what a form is reset to
  else if (key === "value") element.value = value;
  else if (key === "checked" || key === "disabled" || key === "selected" || key === "open") element[key] = Boolean(value);
  else if (key === "href" && !LINKS.test(value)) return; // only within this page and its API
  else element.setAttribute(key, value === true ? "" : key === "class" || key === "d" || key === "src" ? value : clean(value, 4000));
}

function add(element, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) child.forEach((one) => add(element, one));
  else if (child instanceof Node) element.append(child);
  else element.append(clean(child, 200000));
}

// h("p", { class: "note" }, "text", another)
export function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag) && tag !== "title" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const key of Object.keys(attributes || {})) set(element, key, attributes[key]);
  children.forEach((child) => add(element, child));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren();
  children.forEach((child) => add(element, child));
  return element;
}

// Writes only when it differs, so that nothing is laid out anew for the same text.
export function say(element, text) {
  const now = clean(text, 4000);
  if (element.textContent !== now) element.textContent = now;
}

// Somebody else's words: their direction of reading ends where they end.
export function bdi(text, longest = 400) {
  return h("bdi", null, clean(text, longest));
}

// An instant in the viewer's zone, UTC on hover.
export function time(text, style = "short") {
  const when = instant(text);
  if (!when) return h("span", { class: "faint" }, "\u2013");
  const shown = style === "relative" ? from_now(when.date) : when[style];
  return h("time", { datetime: text, title: (style === "relative" ? when.full + " \u00b7 " : "") + when.utc }, shown);
}

let last_id = 0;
export function unique(prefix) {
  return prefix + "-" + ++last_id;
}

// A labelled control of a form.
export function field(label, control, help) {
  const id = unique("field");
  control.id = id;
  if (help) control.setAttribute("aria-describedby", id + "-help");
  return h("p", { class: "field" }, h("label", { for: id }, label), control, help ? h("span", { class: "fine", id: id + "-help" }, help) : null);
}

// A table of rows; each cell knows its heading, which a narrow screen shows beside it.
//   columns: [{ head, cell: (row) => child, style }]
export function table(caption, columns, rows, nothing) {
  if (!rows.length) return h("p", { class: "empty" }, nothing);
  const cell = (row, column) => {
    const element = h("td", { class: column.style, "data-head": column.head }, column.cell(row));
    if (element.textContent === NONE) element.classList.add("none");
    return element;
  };
  const body = rows.map((row) => h("tr", null, columns.map((column) => cell(row, column))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", null,
    h("caption", { class: "away" }, caption),
    h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.style },
      column.head || h("span", { class: "away" }, column.says || "actions"))))),
    h("tbody", null, body)));
}
