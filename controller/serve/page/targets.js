// Targets: what runs under the shim, which proxies serve, which rules are armed, and which faults can act on a program.

import { get, path } from "/api.js";
import { bdi, fill, h, table } from "/dom.js";
import { clean, count, seconds } from "/format.js";
import { heading, problem, region } from "/parts.js";

const LOOK_MS = 4000;

// Pages with their processes, or processes alone: either becomes rows with a depth.
function process_rows(data) {
  const rows = [];
  for (const one of data.processes || []) {
    const list = Array.isArray(one.processes) ? one.processes : [one];
    const depth = new Map();
    for (const process of list) {
      const deep = depth.has(process.parent) ? depth.get(process.parent) + 1 : 0;
      depth.set(process.pid, deep);
      depth.set(process.inner_pid, deep);
      rows.push({ page: one.page || process.page || "", ...process, depth: process.depth ?? deep });
    }
  }
  return rows;
}

function rule_rows(data) {
  const own = data.rules || [];
  return own.length ? own : (data.processes || []).flatMap((one) => (Array.isArray(one.processes) ? (one.rules || []).map((rule) => ({ page: one.page, lease_s: one.lease_s, armed: one.armed, ...rule })) : []));
}

function process_table(rows, doctor) {
  return table("Processes", [
    { head: "Process", cell: (row) => {
      const name = h("span", { class: "tree" }, row.depth ? "\u2514 " : "", h("b", null, bdi(row.comm || "?", 60)));
      name.style.paddingLeft = Math.min(row.depth, 12) * 18 + "px";
      return name;
    } },
    { head: "Pid", cell: (row) => String(row.pid ?? ""), style: "number" },
    { head: "Target", cell: (row) => bdi(row.page, 80) },
    { head: "Age", cell: (row) => (row.alive === false ? "ended" : seconds(row.age_s)), style: "number" },
    { head: "Shim", cell: (row) => (row.unseen ? h("span", { class: "bad" }, "without: ", bdi(row.why || "unknown", 160)) : row.attached ? "attached" : "loaded") },
    { head: "", says: "Actions", cell: (row) => {
      const button = h("button", { type: "button" }, "What can act", h("span", { class: "away" }, " on " + (row.comm || "") + " " + row.pid));
      button.addEventListener("click", () => doctor(row));
      return row.alive === false ? null : button;
    }, style: "actions" }
  ], rows, "No program runs under the shim now.");
}

function rule_table(rows) {
  return table("Armed rules", [
    { head: "Rule", cell: (row) => h("b", null, bdi(row.name, 120)) }, { head: "Target", cell: (row) => bdi(row.page || row.target || "", 80) },
    { head: "Fault", cell: (row) => h("code", null, bdi(row.fault || "", 300)) }, { head: "Fired", cell: (row) => count(row.fired) + " of " + count(row.matched), style: "number" },
    { head: "Lease", cell: (row) => seconds(row.lease_s), style: "number" }
  ], rows, "Nothing is armed.");
}

function proxy_table(rows) {
  return table("Proxies", [
    { head: "Proxy", cell: (row) => h("b", null, bdi(row.name, 80)) }, { head: "Listens", cell: (row) => h("code", null, bdi(row.listen, 120)) }, { head: "Leads to", cell: (row) => h("code", null, bdi(row.upstream || "", 120)) },
    { head: "Faults", cell: (row) => (row.faults?.length ? row.faults.map((one) => h("span", { class: "chip" }, bdi(typeof one === "string" ? one : one.name, 80))) : h("span", { class: "faint" }, "none")) },
    { head: "Run", cell: (row) => bdi(row.run || "", 80) }
  ], rows, "No proxy serves now.");
}

// ---- doctor --------------------------------------------------------------------------------------------------------------------------

// A value of the table is null where the fault can act, else the reason why it cannot.
function verdict_of(value) {
  if (value === null || value === true || value === undefined) return h("span", { class: "good" }, "\u2713 can act");
  if (typeof value === "object") {
    const reasons = [...new Set(Object.values(value).filter((one) => typeof one === "string"))];
    const works = Object.values(value).filter((one) => one === null).length;
    if (works) return [h("span", { class: "good" }, "\u2713 can act"), reasons.length ? h("span", { class: "under" }, bdi(reasons[0], 300)) : null];
    return h("span", { class: "soft" }, bdi(reasons[0] || "cannot", 300));
  }
  return h("span", { class: "soft" }, bdi(value, 300));
}

function doctor_rows(data) {
  const faults = data.call_faults || data.faults || [];
  if (!Array.isArray(faults)) return Object.entries(faults).map(([name, value]) => ({ name, preload: value?.preload !== undefined ? value.preload : value, seccomp: value?.seccomp }));
  return faults.map((one) => ({ name: one.fault || one.name, preload: one.points || one.preload, seccomp: one.seccomp }));
}

function doctor_view(row, data) {
  const trait = (name) => (data[name] ? h("span", { class: "chip" }, name) : null);
  return [h("h2", { tabindex: "-1" }, "What can act on ", bdi(row.comm), " ", String(row.pid)), h("p", { class: "chips" }, h("span", { class: "chip" }, bdi(data.program || "", 300)), data.linkage ? h("span", { class: "chip" }, bdi(data.linkage)) : null,
    trait("go"), trait("musl"), trait("io_uring"), data.allocator ? h("span", { class: "chip" }, bdi(data.allocator, 80)) : null, data.auto ? h("span", { class: "chip" }, "backend ", h("b", null, bdi(data.auto))) : null),
  table("Call faults", [{ head: "Fault", cell: (one) => h("b", null, bdi(one.name, 80)) }, { head: "In the library", cell: (one) => verdict_of(data.preload ?? one.preload) },
    { head: "By the kernel", cell: (one) => verdict_of(data.seccomp ?? one.seccomp) }], doctor_rows(data), "Nothing is known of it.")];
}

export async function open(context) {
  const report = h("section", { class: "card doctor", "aria-live": "polite", hidden: true });
  const doctor = async (row) => {
    report.hidden = false;
    fill(report, h("p", { class: "wait" }, "Reading its files\u2026"));
    try {
      fill(report, doctor_view(row, await get(path("targets", String(row.pid), "doctor"), { signal: context.signal })));
      report.querySelector("h2").focus();
    } catch (error) {
      if (error.name !== "AbortError") fill(report, problem(error));
    }
  };
  let before = "";
  const part = region(context, async (signal) => {
    const data = await get("targets", { signal });
    const rows = process_rows(data);
    const now = clean(JSON.stringify(data), 1e6);
    if (now === before) return null; // what is the same stays as it is, focus and all
    before = now;
    return [h("section", null, h("h2", null, "Processes"), process_table(rows, doctor)), h("section", null, h("h2", null, "Proxies"), proxy_table(data.proxies || [])),
      h("section", null, h("h2", null, "Armed rules"), rule_table(rule_rows(data)))];
  });
  const timer = setInterval(() => { if (document.visibilityState === "visible" && !part.element.contains(document.activeElement)) part.refresh(); }, LOOK_MS);
  context.signal.addEventListener("abort", () => clearInterval(timer));
  fill(context.root, heading("Targets"), part.element, report);
}
