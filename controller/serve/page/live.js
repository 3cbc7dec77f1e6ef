// What is known of one run, from its stream: no element is touched here. `LiveRun` takes events and samples and keeps the present state;
// who shows it asks once a frame.

import { Series } from "/series.js";

const SHOWN_LOADS = 3;
const EVENTS_KEPT = 400;
const ACTIVE = new Set(["baseline", "steady", "inject", "release", "verify undo", "observe"]);
const LINES = ["goodput", "p50", "p95", "p99"];

export const PHASE_KIND = {
  lever: "prepare", prepare: "prepare", capture: "prepare", baseline: "baseline", steady: "baseline", inject: "inject", release: "observe",
  "verify undo": "observe", observe: "observe", rollback: "finish", verify: "finish"
};

function goodput(load) {
  const ended = load.good + load.failed;
  return ended > 0 ? load.good / ended : null; // what has not been answered yet is not known
}

export class LiveRun {
  constructor() {
    this.series = null;
    this.loads = [];
    this.sample = null;
    this.phases = [];
    this.faults = []; // { name, from_s, to_s }
    this.instants = []; // { name, t_s, kind }
    this.shades = { spans: [], instants: [] };
    this.events = []; // newest last
    this.event_total = 0;
    this.zero_ns = null; // the instant t_s counts from, on the run's clock
    this.wall = null; // { ns, ms }: the same instant on two clocks
    this.verdict = null;
    this.reason = null;
    this.hold = null; // what the method waits for
    this.is_ended = false;
    this.shades_changed = false;
    this.waiting = [];
  }

  get now_s() {
    return this.sample ? this.sample.t_s + this.sample.bin_s : 0;
  }

  // Seconds of the axis of the samples; null before the first of them.
  at(ns) {
    return this.zero_ns === null ? null : (ns - this.zero_ns) / 1e9;
  }

  // ---- samples -------------------------------------------------------------------------------------------------------------------

  take_sample(sample) {
    const zero_ns = Number(sample.ns) - (sample.t_s + sample.bin_s) * 1e9; // the soonest told is the nearest to the truth
    if (this.zero_ns === null || zero_ns < this.zero_ns) this.zero_ns = zero_ns;
    if (this.waiting.length) this.settle();
    this.sample = sample;
    const names = Object.keys(sample.loads || {});
    if (!this.series && names.length) {
      this.loads = names.slice(0, SHOWN_LOADS);
      this.series = new Series(this.loads.flatMap((load) => LINES.map((line) => load + "." + line)), sample.bin_s);
    }
    if (!this.series) return;
    this.take_bin(sample.t_s, sample.loads);
    for (const earlier of sample.again || []) this.take_bin(earlier.t_s, earlier.loads);
  }

  take_bin(t_s, loads) {
    for (const name of this.loads) {
      const load = loads?.[name];
      if (!load) continue;
      this.series.put(name + ".goodput", t_s, goodput(load));
      this.series.put(name + ".p50", t_s, load.p50_s);
      this.series.put(name + ".p95", t_s, load.p95_s);
      this.series.put(name + ".p99", t_s, load.p99_s);
    }
  }

  // ---- events --------------------------------------------------------------------------------------------------------------------

  // Returns what is worth saying aloud, or null.
  take_event(event) {
    this.event_total++;
    this.events.push(event);
    if (this.events.length > EVENTS_KEPT) this.events.shift();
    if (event.kind === "run_started") this.wall = { ns: Number(event.ns), ms: Number(event.fields.wall_ns) / 1e6 };
    if (this.zero_ns === null) {
      this.waiting.push(event);
      return this.say(event);
    }
    this.place(event);
    return this.say(event);
  }

  // Events of before the first sample get their place when it comes.
  settle() {
    const events = this.waiting;
    this.waiting = [];
    events.forEach((event) => this.place(event));
  }

  place(event) {
    const t_s = Math.max(0, this.at(Number(event.ns)));
    const fields = event.fields || {};
    if (event.kind === "phase") this.place_phase(fields.phase, t_s);
    else if (event.kind === "fault_armed") this.faults.push({ name: fields.fault, from_s: t_s, to_s: null });
    else if (event.kind === "fault_released") this.end_fault(fields.fault, t_s);
    else if (event.kind === "fault_expired" || event.kind === "run_ended") this.faults.forEach((fault) => { fault.to_s ??= t_s; });
    else if (event.kind === "mark") this.place_instant(fields.mark, t_s, "hold-ink", fields.text);
    else if (event.kind === "guard") this.place_instant("guard", t_s, "bad", fields.guard);
    else if (event.kind === "aborted") this.place_instant("aborted", t_s, "bad", fields.reason);
    else return;
    this.shade();
  }

  place_phase(name, t_s) {
    const last = this.phases.at(-1);
    if (last) last.to_s = t_s;
    this.phases.push({ name, kind: PHASE_KIND[name] || "prepare", from_s: t_s, to_s: null });
  }

  end_fault(name, t_s) {
    for (const fault of this.faults) if (fault.name === name && fault.to_s === null) fault.to_s = t_s;
  }

  place_instant(name, t_s, kind, text) {
    this.instants.push({ name, t_s, kind, text });
  }

  shade() {
    const base = this.phases.filter((phase) => phase.name === "baseline").map((phase) => ({ from_s: phase.from_s, to_s: phase.to_s, kind: "base" }));
    this.shades.spans = [...base, ...this.faults.map((fault) => ({ from_s: fault.from_s, to_s: fault.to_s, kind: "fault" }))];
    this.shades.instants = this.instants.map((one) => ({ t_s: one.t_s, kind: one.kind }));
    this.shades_changed = true;
  }

  say(event) {
    const fields = event.fields || {};
    if (event.kind === "phase" && ACTIVE.has(fields.phase)) return "Phase: " + fields.phase;
    if (event.kind === "fault_armed") return "Fault armed: " + fields.fault;
    if (event.kind === "fault_released") return "Fault released: " + fields.fault;
    if (event.kind === "hold_begun") this.hold = fields.hold;
    if (event.kind === "hold_ended" || event.kind === "run_ended") this.hold = null;
    if (event.kind === "hold_begun") return "The run waits for go: " + fields.hold;
    if (event.kind === "guard") return "Guard breached: " + fields.guard;
    if (event.kind === "aborted") this.reason = fields.reason;
    if (event.kind === "aborted") return "Aborted: " + fields.reason;
    if (event.kind === "run_ended") this.is_ended = true;
    if (event.kind !== "verdict") return null;
    this.verdict = { verdict: fields.verdict, why: fields.why, status: fields.status };
    return "Verdict: " + fields.verdict + ". " + fields.why;
  }

  phase() {
    for (let i = this.events.length - 1; i >= 0; i--) if (this.events[i].kind === "phase") return this.events[i].fields.phase;
    return this.sample?.phase || "";
  }

  // Milliseconds since 1970 of an event; null when the run's start is not known.
  wall_ms(event) {
    return this.wall ? this.wall.ms + (Number(event.ns) - this.wall.ns) / 1e6 : null;
  }
}
