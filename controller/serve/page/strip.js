// The timeline of a run: a lane of phases, a lane for each fault, its instants. Positions in percent, so that it needs no size.

import { h, say } from "/dom.js";
import { clean, seconds } from "/format.js";

const LEAST_S = 20;

const LETTER = 0.012; // about the part of the width that a letter takes on a small screen

// "checked x 3, note"
function together(names) {
  return [...new Set(names)].map((name) => {
    const many = names.filter((one) => one === name).length;
    return many > 1 ? name + " \u00d7 " + many : name;
  }).join(", ");
}

// Of instants near each other the first has the names of all.
function labels(instants, scale) {
  const texts = instants.map(() => "");
  let first = -1, names = [];
  instants.forEach((one, i) => {
    if (first < 0 || (one.t_s - instants[first].t_s) / scale >= texts[first].length * LETTER) [first, names] = [i, []];
    names.push(one.name);
    texts[first] = together(names);
  });
  return texts;
}

export class Strip {
  constructor() {
    this.lanes = h("div", { class: "strip-lanes" });
    this.axis = h("div", { class: "strip-axis", "aria-hidden": "true" });
    this.text = h("p", { class: "away" });
    this.element = h("section", { class: "card strip", "aria-label": "Timeline" }, h("div", { "aria-hidden": "true" }, this.lanes), this.axis, this.text);
    this.rows = new Map();
  }

  row(name, style) {
    if (!this.rows.has(name)) {
      const bars = h("div", { class: "lane-bars" });
      const element = h("div", { class: "lane " + style }, h("span", { class: "lane-name" }, name), bars);
      this.lanes.append(element);
      this.rows.set(name, { bars, items: new Map() });
    }
    return this.rows.get(name);
  }

  // kind: how it looks; to_s null: it lasts.
  bar(row, key, kind, label, from_s, to_s, scale) {
    let item = row.items.get(key);
    if (!item) {
      item = h("span", { class: "piece " + kind }, h("span"));
      row.items.set(key, item);
      row.bars.append(item);
    }
    const left = from_s / scale * 100;
    say(item.firstChild, label);
    if (item.title !== label && label) item.title = clean(label, 200);
    item.style.left = left.toFixed(3) + "%";
    item.style.width = to_s === undefined ? "" : Math.max(0.15, to_s / scale * 100 - left).toFixed(3) + "%";
  }

  // phases: [{ name, from_s, to_s }]; faults: [{ name, from_s, to_s }]; instants: [{ name, t_s, kind }]
  draw(now_s, phases, faults, instants) {
    const scale = Math.max(LEAST_S, now_s * 1.04);
    const lane = this.row("phase", "phases");
    phases.forEach((phase, i) => this.bar(lane, "p" + i, "phase-" + phase.kind, phase.name, phase.from_s, phase.to_s ?? now_s, scale));
    faults.forEach((fault, i) => this.bar(this.row(fault.name, "faults"), "f" + i, "fault", fault.to_s === null ? "armed" : seconds(fault.to_s - fault.from_s),
      fault.from_s, fault.to_s ?? now_s, scale));
    if (instants.length) {
      const marks = this.row("instants", "instants");
      labels(instants, scale).forEach((label, i) => this.bar(marks, "m" + i, "instant " + instants[i].kind, label, instants[i].t_s, undefined, scale));
    }
    this.draw_axis(scale);
    this.describe(now_s, phases, faults);
  }

  draw_axis(scale) {
    const step = [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((one) => scale / one <= 8) || 7200;
    const many = Math.floor(scale / step) + 1;
    while (this.axis.children.length < many) this.axis.append(h("span"));
    while (this.axis.children.length > many) this.axis.lastChild.remove();
    for (let i = 0; i < many; i++) {
      say(this.axis.children[i], seconds(i * step));
      this.axis.children[i].style.left = (i * step / scale * 100).toFixed(3) + "%";
    }
  }

  describe(now_s, phases, faults) {
    const tell = (one) => one.name + " from " + seconds(one.from_s) + (one.to_s === null ? ", still" : " to " + seconds(one.to_s));
    say(this.text, "Phases: " + phases.map(tell).join("; ") + ". Faults: " + (faults.map(tell).join("; ") || "none yet") + ".");
  }
}
