// Now: the live run, moving; with none, what comes next.

import { get, list, path, post, Problem } from "/api.js";
import { Chart } from "/chart.js";
import { bdi, fill, h, say, table, time } from "/dom.js";
import { clean, clock, count, known, number, outcome, seconds, share, verdict_word } from "/format.js";
import { LiveRun, PHASE_KIND } from "/live.js";
import { act, announce, badge, denied, form, heading, may, most_of, playbook_link, problem, region, run_columns, run_link } from "/parts.js";
import { Stream } from "/stream.js";
import { Strip } from "/strip.js";

const COLOURS = ["line", "line-2", "line-3"];
const TEXT_MS = 200;
const DESCRIBE_MS = 1000;
const STALLED_MS = 3000;
const END_MS = 400;
const MARKS = [["detected", "Detected"], ["acknowledged", "Acknowledged"], ["mitigated", "Mitigated"]];

// ---- one run -----------------------------------------------------------------------------------------------------------------------

class LiveView {
  constructor(context, run) {
    this.context = context;
    this.run = run;
    this.state = new LiveRun();
    this.charts = [];
    this.rows = new Map();
    this.last_text = 0;
    this.last_description = -DESCRIBE_MS;
    this.last_sample_at = 0;
    this.is_asked = false;
    this.build();
    this.stream = new Stream(path("runs", run.id, "events"), (kind, text) => this.take(kind, text), (state, why) => this.link(state, why));
    this.timer = setInterval(() => this.watch_stall(), 1000);
    context.signal.addEventListener("abort", () => this.close());
  }

  close() {
    this.stream.close();
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    this.charts.forEach((chart) => chart.close());
  }

  // ---- elements --------------------------------------------------------------------------------------------------------------------

  build() {
    const run = this.run;
    this.connection = h("span", { class: "chip connection", role: "status" }, "connecting");
    this.phase = h("span", { class: "phase-name" }, run.phase || run.state);
    this.clock = h("span", { class: "clock", "aria-hidden": "true" }, clock(0));
    this.ending = h("div", { class: "ending" });
    this.strip = new Strip();
    this.plots = h("div", { class: "plots" });
    this.holding = this.build_hold();
    this.tiles = { goodput: this.tile("Goodput", "of the last second"), latency: this.tile("p99", "of the last second"),
      amplification: this.tile("Amplification", "attempts per request"), margin: this.tile("Nearest guard", "room left to its limit") };
    fill(this.context.root, h("div", { class: "now" }, this.build_top(), this.ending, this.holding, this.build_tiles(), this.strip.element,
      h("div", { class: "now-main" }, this.plots, this.build_side(), this.build_log())));
  }

  build_top() {
    const run = this.run;
    const trouble = h("div");
    this.abort = !may("operator") ? h("span") : act("Abort this run", () => post(path("runs", run.id, "abort"), { reason: "asked on the page" }), trouble, { class: "quiet" });
    return h("header", { class: "top running" }, h("p", { class: "crumbs" }, run.service ? bdi(run.service, 80) : null,
      run.playbook ? playbook_link(run.playbook) : null, run_link(run.id), run.started ? time(run.started) : null, this.connection),
    h("div", { class: "top-row" }, h("div", { class: "top-title" }, h("h1", { tabindex: "-1", dir: "auto" }, clean(run.title || run.playbook || run.id, 160)),
      h("p", { class: "state-line" }, h("span", { class: "pulse", "aria-hidden": "true" }), this.phase, this.clock)), this.abort), trouble);
  }

  // A hold of the method: a game day waits for somebody's word.
  build_hold() {
    const trouble = h("div");
    this.hold_text = h("bdi");
    return h("section", { class: "card hold", hidden: true }, h("p", null, h("strong", null, "The run waits: "), this.hold_text),
      may("operator") ? act("Go on", () => post(path("runs", this.run.id, "marks"), { mark: "go" }, { once: true }), trouble, { class: "main" }) : null, trouble);
  }

  tile(name, note) {
    const value = h("p", { class: "value" }, "\u2013");
    const under = h("p", { class: "label" }, note);
    return { value, under, element: h("div", { class: "card stat" }, h("h2", null, name), value, under) };
  }

  build_tiles() {
    return h("div", { class: "stats" }, Object.values(this.tiles).map((tile) => tile.element));
  }

  build_side() {
    this.guards = h("ul", { class: "guards" }, h("li", { class: "faint" }, "No guard judged yet."));
    this.faults = h("ul", { class: "faults" }, h("li", { class: "faint" }, "None yet."));
    this.signals = h("dl", { class: "signals" });
    return h("div", { class: "side" },
      h("section", { class: "card" }, h("h2", null, "Marks"), this.build_marks()),
      h("section", { class: "card" }, h("h2", null, "Faults"), this.faults),
      h("section", { class: "card" }, h("h2", null, "Guards"), this.guards),
      h("section", { class: "card" }, h("h2", null, "Signals"), this.signals));
  }

  build_log() {
    this.log = h("ol", { class: "log", tabindex: "0", "aria-label": "Events, newest first" });
    return h("section", { class: "card events" }, h("h2", null, "Events, newest first"), this.log);
  }

  build_marks() {
    const trouble = h("div");
    const mark = (kind, text) => post(path("runs", this.run.id, "marks"), { mark: kind, ...(text ? { text } : {}) }, { once: true });
    this.mark_buttons = new Map();
    const buttons = MARKS.map(([kind, label]) => {
      const at = h("span", { class: "mark-at" });
      const button = act([label, at], () => mark(kind), trouble, { class: "mark" });
      button.disabled = !may("operator");
      this.mark_buttons.set(kind, { button, at });
      return button;
    });
    const note = h("input", { name: "text", maxlength: "500", "aria-label": "Note", placeholder: "What do you see?", required: true });
    this.note_form = form(async (data, element) => {
      await mark("note", data.get("text"));
      element.reset();
    }, trouble, h("div", { class: "note-row" }, note, h("button", { type: "submit" }, "Note")));
    this.note_form.hidden = !may("operator");
    return [h("div", { class: "marks" }, buttons), may("operator") ? null : denied("Marking an instant"), this.note_form, trouble];
  }

  build_charts() {
    const { series, loads, shades } = this.state;
    const line = (load, name, i) => ({ name: load + "." + name, label: load, colour: COLOURS[i] });
    const chart = (options) => this.charts.push(new Chart(series, shades, options, () => this.ask()));
    chart({ title: "Goodput", unit: "share", lines: loads.map((load, i) => line(load, "goodput", i)) });
    const lines = (load) => ["p99", "p95", "p50"].map((name, i) => ({ name: load + "." + name, label: name, colour: COLOURS[i] }));
    for (const load of loads.slice(0, 2))
      chart({ title: loads.length > 1 ? "Latency of " + clean(load, 40) : "Latency", unit: "seconds", lines: lines(load) });
    fill(this.plots, this.charts.map((chart) => chart.element));
  }

  // ---- the stream --------------------------------------------------------------------------------------------------------------------

  take(kind, text) {
    let value;
    try {
      value = JSON.parse(text);
    } catch (error) {
      return; // a line cut off by a full disk
    }
    if (kind === "sample") {
      this.state.take_sample(value);
      this.last_sample_at = performance.now();
    } else if (kind === "event") {
      const spoken = this.state.take_event(value);
      if (spoken && this.is_live) announce(spoken);
      this.add_log(value);
      if (value.kind === "mark") this.show_mark(value);
    }
    this.ask();
  }

  link(state, why) {
    this.is_live = state === "live";
    const words = { connecting: "connecting", live: "live", reconnecting: "reconnecting\u2026", ended: "ended", refused: "not readable" };
    this.connection.dataset.state = state;
    say(this.connection, words[state] + (state === "refused" && why?.status ? " (" + why.status + ")" : ""));
    if (state === "ended" || state === "refused") this.finish();
  }

  watch_stall() {
    const silent_ms = performance.now() - this.last_sample_at;
    if (!this.is_live || !this.last_sample_at || this.state.is_ended) return;
    const stalled = silent_ms > STALLED_MS && ["baseline", "inject", "observe"].includes(this.state.phase());
    this.connection.dataset.state = stalled ? "stalled" : "live";
    say(this.connection, stalled ? "no sample for " + Math.round(silent_ms / 1000) + " s" : "live");
  }

  async finish() {
    this.abort.hidden = true;
    this.note_form.hidden = true;
    this.mark_buttons.forEach(({ button }) => { button.disabled = true; });
    this.context.root.querySelector(".top")?.classList.remove("running");
    if (this.state.verdict) this.show_ending({ ...this.state.verdict, state: "ended", id: this.run.id }, this.state.verdict.why);
    try {
      let run = await get(path("runs", this.run.id), { signal: this.context.signal });
      while (run.state !== "ended" && !this.context.signal.aborted) { // its files are complete a moment before the service has noticed
        await new Promise((resolve) => setTimeout(resolve, END_MS));
        run = await get(path("runs", this.run.id), { signal: this.context.signal });
      }
      this.show_ending(run, run.why);
    } catch (error) {
      if (error.name !== "AbortError" && !this.state.verdict) fill(this.ending, problem(error));
    }
  }

  show_ending(run, why) {
    const look = outcome(run);
    fill(this.ending, h("section", { class: "top " + look.style }, h("p", { class: "verdict" }, badge(run), h("span", { class: "word" }, bdi(verdict_word(run), 80))),
      why ? h("p", { class: "why", dir: "auto" }, clean(why, 600)) : null,
      h("p", null, h("a", { class: "button main", href: "#/runs/" + encodeURIComponent(run.id) }, "Open the report"))));
    this.context.root.querySelector(".top")?.classList.add(look.style);
  }

  // ---- frames ------------------------------------------------------------------------------------------------------------------------

  ask() {
    if (this.is_asked) return;
    this.is_asked = true;
    this.frame = requestAnimationFrame((now) => {
      this.is_asked = false;
      this.draw(now);
    });
  }

  draw(now) {
    const { series, shades } = this.state;
    if (series && !this.charts.length) this.build_charts();
    if (this.state.shades_changed) this.charts.forEach((chart) => chart.again());
    this.state.shades_changed = false;
    const dirty = series ? series.dirty : Infinity;
    if (series) series.dirty = Infinity;
    this.charts.forEach((chart) => chart.draw(dirty));
    say(this.clock, clock(this.state.now_s));
    if (this.state.sample) document.body.dataset.drawn = this.state.sample.seq;
    if (now - this.last_text >= TEXT_MS) this.draw_texts(now);
    else if (!this.later) this.later = setTimeout(() => { this.later = null; this.ask(); }, TEXT_MS);
  }

  draw_texts(now) {
    const sample = this.state.sample;
    this.last_text = now;
    const phase = this.state.phase();
    say(this.phase, phase || this.run.state);
    this.holding.hidden = this.state.hold === null;
    say(this.hold_text, this.state.hold || "");
    this.phase.dataset.kind = PHASE_KIND[phase] || "prepare";
    if (!sample) return;
    this.strip.draw(this.state.now_s, this.state.phases, this.state.faults, this.state.instants);
    this.draw_tiles(sample);
    this.draw_guards(sample.guards || []);
    this.draw_faults(sample.faults || []);
    this.draw_signals(sample.signals || {});
    if (now - this.last_description >= DESCRIBE_MS) this.describe(now);
  }

  draw_tiles(sample) {
    const load = this.state.loads[0];
    const value = (name) => sample.signals?.[load + "." + name]?.value;
    const tile = (which, text, style) => {
      say(this.tiles[which].value, text);
      this.tiles[which].element.dataset.level = style;
    };
    const good = value("goodput");
    tile("goodput", share(good), !known(good) ? "" : good < 0.5 ? "bad" : good < 0.95 ? "warm" : "good");
    tile("latency", seconds(value("p99")), "");
    tile("amplification", known(sample.amplification) ? number(sample.amplification) + " \u00d7" : "\u2013", sample.amplification > 1.5 ? "warm" : "");
    if (load && this.state.loads.length > 1) say(this.tiles.goodput.under, "of " + load + ", last second");
    const guards = (sample.guards || []).filter((guard) => known(guard.margin));
    const nearest = guards.reduce((least, guard) => (!least || guard.margin < least.margin ? guard : least), null);
    tile("margin", nearest ? share(Math.max(0, nearest.margin)) : "\u2013", !nearest ? "" : nearest.breached || nearest.margin < 0.1 ? "bad" : nearest.margin < 0.3 ? "warm" : "good");
    say(this.tiles.margin.under, nearest ? nearest.guard : !sample.guards?.length ? "this playbook has none" : "too early to judge");
  }

  // A row of a list by its key, made once.
  row(list, key, make) {
    const name = list.className + "\n" + key;
    if (!this.rows.has(name)) {
      if (list.firstElementChild?.className === "faint") fill(list);
      const row = make();
      list.append(row.element);
      this.rows.set(name, row);
    }
    return this.rows.get(name);
  }

  draw_guards(guards) {
    guards.forEach((guard, i) => {
      const row = this.row(this.guards, i + guard.guard, () => {
        const value = h("span", { class: "amount" });
        const meter = h("span", { class: "fill" });
        return { value, meter, element: h("li", null, h("span", { class: "name" }, bdi(guard.guard, 160)), value, h("span", { class: "gauge", "aria-hidden": "true" }, meter)) };
      });
      const margin = known(guard.margin) ? Math.max(0, Math.min(1, guard.margin)) : null;
      say(row.value, guard.breached ? "breached" : margin === null ? "not judged yet" : share(margin) + " room");
      row.meter.style.width = ((margin || 0) * 100).toFixed(1) + "%";
      row.element.dataset.level = guard.breached ? "bad" : margin === null ? "" : margin < 0.1 ? "bad" : margin < 0.3 ? "warm" : "good";
    });
  }

  draw_faults(faults) {
    faults.forEach((fault, i) => {
      const row = this.row(this.faults, i + fault.name, () => {
        const state = h("span", { class: "chip" }), amount = h("span", { class: "amount" });
        return { state, amount, element: h("li", null, h("span", { class: "name" }, bdi(fault.name, 160)), state, amount) };
      });
      const was = this.state.faults.some((one) => one.name === fault.name);
      say(row.state, fault.armed ? "armed" : was ? "released" : "to come");
      row.element.dataset.level = fault.armed ? "armed" : "";
      say(row.amount, count(fault.fired) + " of " + count(fault.matched) + " fired");
    });
  }

  draw_signals(signals) {
    for (const name of Object.keys(signals).slice(0, 40)) {
      const row = this.row(this.signals, name, () => {
        const value = h("dd");
        return { value, element: h("div", null, h("dt", null, bdi(name, 120)), value) };
      });
      const value = signals[name].value, kind = name.slice(name.lastIndexOf(".") + 1);
      say(row.value, kind === "goodput" || kind === "errors" ? share(value) : /^p\d/.test(kind) ? seconds(value) : number(value) + (kind === "rate" ? " /s" : ""));
    }
  }

  show_mark(event) {
    const entry = this.mark_buttons.get(event.fields?.mark);
    const ms = this.state.wall_ms(event);
    if (!entry) return;
    entry.button.classList.add("set");
    say(entry.at, ms ? new Date(ms).toLocaleTimeString() : "\u2713");
  }

  add_log(event) {
    const ms = this.state.wall_ms(event);
    const fields = Object.entries(event.fields || {}).filter(([name, value]) => name !== "wall_ns" && value !== "");
    const label = (name) => (name === event.kind ? null : [h("i", null, clean(name, 40).replace(/_ns$/, "").replaceAll("_", " ")), " "]);
    const value = (name, one) => (!known(one) ? one : name.endsWith("_ns") ? seconds(one / 1e9) : name === "rate" ? number(one / 1e3) + " /s" : one);
    const row = h("li", { class: "log-" + String(event.kind).replace(/[^a-z_]/g, "") }, ms ? time(new Date(ms).toISOString(), "clock") : null,
      h("b", null, clean(event.kind, 40).replaceAll("_", " ")), h("span", null, fields.map(([name, one]) => [label(name), bdi(value(name, one), 300), " "])));
    this.log.prepend(row);
    if (this.log.children.length > 200) this.log.lastChild.remove();
  }

  describe(now) {
    const { series, loads, now_s } = this.state;
    this.last_description = now;
    if (!series) return;
    const from = series.last - Math.round(10 / series.bin_s);
    for (const chart of this.charts) {
      const share_of = chart.options.unit === "share" ? share : seconds;
      const parts = chart.options.lines.map((line) => {
        const pair = [0, 0];
        series.range(line.name, from, series.last, pair);
        return line.label + " on average " + share_of(series.mean(line.name, from, series.last)) + ", between " + share_of(pair[0]) + " and " + share_of(pair[1]);
      });
      const armed = this.state.faults.filter((fault) => fault.to_s === null).map((fault) => fault.name);
      chart.describe(chart.options.title + " at " + seconds(now_s) + ", last ten seconds: " + parts.join("; ") + (armed.length ? ". Armed: " + armed.join(", ") : "") + ".",
        loads.length ? chart.options.lines[0].label + " " + share_of(series.mean(chart.options.lines[0].name, from, series.last)) + " over 10 s" : "");
    }
  }
}

// ---- none ----------------------------------------------------------------------------------------------------------------------------

async function idle(context, status) {
  const upcoming = (status?.next || []).slice(0, 8);
  const { items } = await list("runs", {}, 8, context.signal);
  return [
    h("div", { class: "calm" }, h("h1", { tabindex: "-1" }, "Nothing is being disturbed"),
      h("p", { class: "soft" }, status?.lever === "engaged" ? "The safety lever is engaged: nothing can start." : items.length ? "Start a playbook, or wait for a schedule." :
        "A playbook disturbs a system on purpose, in bounds and undone by itself, and measures how long the system takes to be itself again."),
      h("p", null, h("a", { class: "button main", href: "#/playbooks" }, may("operator") ? "Choose a playbook" : "See the playbooks"))),
    upcoming.length ? h("section", null, h("h2", null, "Next"), table("Next occurrences", [
      { head: "Schedule", cell: (row) => bdi(row.name || row.schedule) }, { head: "Due", cell: (row) => time(row.due), style: "when" },
      { head: "In", cell: (row) => time(row.due, "relative"), style: "when" }
    ], upcoming, "")) : null,
    h("section", null, h("h2", null, "Latest runs"), table("Latest runs", run_columns(most_of(items)), items, "No run yet. What runs find shows up here: how long it took to come back, with its error bar, and what was lost."))
  ];
}

async function choose(context, ids) {
  const runs = (await Promise.all(ids.slice(0, 20).map((id) => get(path("runs", id), { signal: context.signal }).catch(() => null)))).filter(Boolean);
  return [heading(runs.length + " runs are live"), h("ul", { class: "choices" }, runs.map((run) => h("li", null, h("a", { class: "card", href: "#/now/" + encodeURIComponent(run.id) },
    h("strong", null, bdi(run.title || run.playbook || run.id)), h("span", { class: "soft" }, " ", clean(run.phase || run.state)), time(run.started)))))];
}

export async function open(context) {
  const ids = context.status()?.runs_live || [];
  const id = context.args[0] || (ids.length === 1 ? ids[0] : null);
  if (id) {
    let run;
    try {
      run = await get(path("runs", id), { signal: context.signal });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404 || context.args[0]) throw error;
      run = { id, state: "running" };
    }
    if (context.signal.aborted) return;
    context.title("Now: " + clean(run.title || run.id, 80));
    new LiveView(context, run);
    context.on_change(() => { // a wall screen goes on to the next run
      const live = context.status()?.runs_live || [];
      if (!context.args[0] && live.length && !live.includes(id)) context.reopen();
    });
    return;
  }
  let shown = JSON.stringify(ids);
  context.on_change(() => {
    const present = JSON.stringify(context.status()?.runs_live || []);
    if (present !== shown && present !== "[]") context.reopen();
    shown = present;
  });
  const part = region(context, () => (ids.length ? choose(context, ids) : idle(context, context.status())));
  fill(context.root, part.element);
}
