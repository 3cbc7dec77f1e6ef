// Targets: what runs under the shim, which proxies serve, which rules are armed, and which faults can act on a program.

import { get, path } from "/api.js";
import { bdi, fill, h, table } from "/dom.js";
import { clean, count, seconds } from "/format.js";
import { heading, problem, region } from "/parts.js";

const LOOK_MS = 4000;

// Depth in the tree, by who is whose parent; parents come before children.
function process_rows(data) {
  const depth = new Map();
  return (data.processes || []).map((process) => {
    const deep = depth.has(process.parent) ? depth.get(process.parent) + 1 : 0;
    depth.set(process.pid, deep);
    depth.set(process.inner_pid, deep);
    return { ...process, depth: deep };
  });
}

function rule_rows(data) {
  const lease = new Map((data.pages || []).map((page) => [page.page, page.lease_s]));
  return (data.rules || []).map((rule) => ({ ...rule, lease_s: rule.armed ? lease.get(rule.page) : null }));
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
  ], rows, "None now. Programs show up here that a run starts with libperturb in them, that perturb exec starts, or that a run attaches to.");
}

function rule_table(rows) {
  return table("Armed rules", [
    { head: "Rule", cell: (row) => h("b", null, bdi(row.name, 120)) }, { head: "Target", cell: (row) => bdi(row.page || row.target || "", 80) },
    { head: "Fault", cell: (row) => h("code", null, bdi(row.fault || "", 300)) }, { head: "Fired", cell: (row) => count(row.fired) + " of " + count(row.matched), style: "number" },
    { head: "Lease", cell: (row) => seconds(row.lease_s), style: "number" }
  ], rows, "Nothing is armed in a program now.");
}

function proxy_table(rows) {
  return table("Proxies", [
    { head: "Process", cell: (row) => String(row.pid ?? ""), style: "number" },
    { head: "State", cell: (row) => h("span", { class: "badge " + ({ armed: "fail", halted: "unsure" }[row.state] || "pass") }, bdi(row.state, 40)) },
    { head: "What it serves", cell: (row) => h("span", { class: "lines" }, bdi(row.text, 2000)) }
  ], rows, "None now. Those of perturb proxy show up here; what a run does on the wire is on the run's own view.");
}

// ---- doctor --------------------------------------------------------------------------------------------------------------------------

// One row a fault: at which points each backend can carry it out, and the first reason where it cannot.
function doctor_rows(data) {
  const rows = new Map();
  for (const one of data.call_faults || []) {
    if (!rows.has(one.fault)) rows.set(one.fault, { name: one.fault, preload: [], seccomp: [], why: { preload: null, seccomp: null }, points: 0 });
    const row = rows.get(one.fault);
    row.points++;
    for (const way of ["preload", "seccomp"]) {
      if (one[way] === null) row[way].push(one.point);
      else row.why[way] ||= one[way];
    }
  }
  return [...rows.values()];
}

function can(row, way, blocked) {
  if (blocked) return h("span", { class: "soft" }, bdi(blocked, 300));
  if (!row[way].length) return h("span", { class: "soft" }, bdi(row.why[way] || "cannot", 300));
  return [h("span", { class: "good" }, "\u2713 can act"), h("span", { class: "under" }, bdi(row[way].length === row.points ? "at every point" : "at " + row[way].join(", "), 300)), row.why[way] ? h("span", { class: "under" }, "elsewhere: ", bdi(row.why[way], 200)) : null];
}

function doctor_view(row, data) {
  const trait = (name) => (data[name] ? h("span", { class: "chip" }, name) : null);
  return [h("h2", { tabindex: "-1" }, "What can act on ", bdi(row.comm), " ", String(row.pid)), h("p", { class: "chips" }, h("span", { class: "chip" }, bdi(data.program || "", 300)), data.linkage ? h("span", { class: "chip" }, bdi(data.linkage)) : null,
    trait("go"), trait("musl"), trait("io_uring"), data.allocator ? h("span", { class: "chip" }, bdi(data.allocator, 80)) : null, data.auto ? h("span", { class: "chip" }, "backend ", h("b", null, bdi(data.auto))) : null),
  table("Call faults", [{ head: "Fault", cell: (one) => h("b", null, bdi(one.name, 80)) }, { head: "In the library", cell: (one) => can(one, "preload", data.preload) },
    { head: "By the kernel", cell: (one) => can(one, "seccomp", data.seccomp) }], doctor_rows(data), "Nothing is known of it.")];
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
