// History: all runs, comparing two of them; and one run with its report.

import { get, list, path } from "/api.js";
import { bdi, field, fill, h, table, time } from "/dom.js";
import { clean, delta, interval, known, number, outcome, seconds, verdict_word } from "/format.js";
import { badge, by, error_bar, heading, most_of, playbook_link, problem, region, run_columns, run_link } from "/parts.js";

// ---- history -------------------------------------------------------------------------------------------------------------------------

const VERDICTS = ["", "converged", "held", "not converged", "aborted", "running", "interrupted"];
const PAGE = 50;

function go(where, query) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) words.set(name, value);
  location.hash = "#/" + where + (words.size ? "?" + words : "");
}

function filters(context) {
  const value = (name) => context.query.get(name) || "";
  const playbook = h("input", { name: "playbook", value: value("playbook"), autocomplete: "off", spellcheck: "false" });
  const service = h("input", { name: "service", value: value("service"), autocomplete: "off" });
  const verdict = h("input", { name: "verdict", value: value("verdict"), list: "verdicts", autocomplete: "off" });
  const element = h("form", { class: "filters", role: "search", "aria-label": "Runs" }, field("Playbook", playbook), field("Service", service), field("Verdict", verdict),
    h("datalist", { id: "verdicts" }, VERDICTS.slice(1).map((one) => h("option", { value: one }))), h("button", { type: "submit" }, "Filter"));
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    go("history", { playbook: playbook.value.trim(), service: service.value.trim(), verdict: verdict.value.trim() });
  });
  return element;
}

function comparer(chosen, say) {
  const button = h("button", { type: "button", class: "main", disabled: true }, "Compare");
  button.addEventListener("click", () => go("compare", { a: chosen[0].id, b: chosen[1].id }));
  const pick = (run, box) => {
    const at = chosen.findIndex((one) => one.id === run.id);
    if (at >= 0) chosen.splice(at, 1);
    else chosen.push({ id: run.id, box });
    if (chosen.length > 2) chosen.shift().box.checked = false;
    button.disabled = chosen.length !== 2;
    say(chosen.length === 2 ? "Two runs chosen" : chosen.length === 1 ? "Choose one more" : "Choose two runs to compare");
  };
  return { button, pick };
}

async function show_history(context) {
  const hint = h("span", { class: "soft" }, "Choose two runs to compare");
  const chosen = [];
  const compare = comparer(chosen, (text) => { hint.textContent = text; });
  const query = Object.fromEntries(["playbook", "service", "verdict"].map((name) => [name, context.query.get(name)]));
  let cursor = context.query.get("cursor");
  const box = (run) => {
    if (run.state !== "ended") return null;
    const element = h("input", { type: "checkbox", "aria-label": "Compare " + run.id, checked: chosen.some((one) => one.id === run.id) });
    element.addEventListener("change", () => compare.pick(run, element));
    return element;
  };
  const part = region(context, async (signal) => {
    const page = await get("runs", { query: { ...query, limit: PAGE, cursor }, signal });
    const older = page.next ? h("button", { type: "button" }, "Older runs") : null;
    older?.addEventListener("click", () => { cursor = page.next; part.refresh(); });
    const newest = cursor ? h("button", { type: "button" }, "Newest") : null;
    newest?.addEventListener("click", () => { cursor = null; part.refresh(); });
    return [table("Runs", [{ head: "", says: "Compare", cell: box, style: "pick" }, ...run_columns(most_of(page.items))], page.items, "No run fits."), h("p", { class: "buttons" }, newest, older)];
  });
  fill(context.root, heading("History", h("div", { class: "tools" }, hint, compare.button)), filters(context), part.element);
}

// ---- comparing -------------------------------------------------------------------------------------------------------------------------

function side(letter, run) {
  return h("section", { class: "card" }, h("h2", null, letter), h("p", { class: "verdict" }, badge(run), " ", run_link(run.id, run.title || run.id)), h("p", { class: "fine" }, bdi(run.id), " \u00b7 ", time(run.started)),
    h("p", { class: "number big" }, seconds(run.convergence_s)), h("p", { class: "soft" }, known(run.convergence_low_s) ? "95 %: " + seconds(run.convergence_low_s) + " to " + seconds(run.convergence_high_s) : known(run.convergence_s) ? "" : "no convergence time: " + verdict_word(run)));
}

function metric_rows(metrics) {
  return table("What differs", [
    { head: "Metric", cell: (row) => bdi(row.metric) }, { head: "B less A", cell: (row) => delta(row.shift_s), style: "number" },
    { head: "95 % interval", cell: (row) => (known(row.shift_low_s) ? delta(row.shift_low_s) + " to " + delta(row.shift_high_s) : "\u2013"), style: "number" },
    { head: "p", cell: (row) => number(row.p), style: "number" }, { head: "Would have been seen", cell: (row) => seconds(row.detectable_s), style: "number" },
    { head: "Judgement", cell: (row) => bdi(row.outcome) }
  ], metrics, "Nothing was compared.");
}

async function show_compare(context) {
  const a = context.query.get("a"), b = context.query.get("b");
  fill(context.root, heading("Compare two runs"), h("p", { class: "crumbs" }, h("a", { href: "#/history" }, "History")));
  const runs = await Promise.all([a, b].map((id) => get(path("runs", id), { signal: context.signal })));
  const most_s = most_of(runs);
  context.root.append(h("div", { class: "two even" }, side("A", runs[0]), side("B", runs[1])),
    h("section", { class: "card" }, h("h2", null, "On one scale"), runs.map((run, i) => h("div", { class: "scaled" }, h("b", null, i ? "B" : "A"), error_bar(run, most_s * 1.1) || h("span", { class: "faint" }, "no number"), h("span", null, interval(run.convergence_s, run.convergence_low_s, run.convergence_high_s))))));
  try {
    const result = await get("compare", { query: { a, b }, signal: context.signal });
    const few = [result.a, result.b].some((group) => (group?.runs?.length || 0) < 5);
    context.root.append(h("section", null, h("h2", null, "Judged"), metric_rows(result.metrics || []),
      few ? h("p", { class: "fine" }, "Fewer than five runs on a side: nothing is called a regression.") : null));
  } catch (error) {
    if (error.name !== "AbortError") context.root.append(problem(error));
  }
}

// ---- one run ---------------------------------------------------------------------------------------------------------------------------

function facts(run) {
  const row = (name, value) => (value === null || value === undefined || value === "" || value === "\u2013" ? null : [h("dt", null, name), h("dd", null, value)]);
  return h("dl", { class: "facts" }, row("Playbook", run.playbook ? playbook_link(run.playbook) : null), row("Service", run.service ? bdi(run.service) : null), row("Started", time(run.started, "full")),
    row("Lasted", seconds(run.duration_s)), row("Convergence", interval(run.convergence_s, run.convergence_low_s, run.convergence_high_s)), row("Loss", seconds(run.loss_s)), row("Rigour", run.rigour),
    row("Seed", run.seed ? bdi(run.seed) : null), row("By", by(run)), row("Directory", run.directory ? h("code", null, bdi(run.directory)) : null));
}

async function show_run(context, id) {
  const run = await get(path("runs", id), { signal: context.signal });
  if (context.signal.aborted) return;
  const look = outcome(run);
  context.title(clean(run.title || id, 80));
  if (run.state === "running" || run.state === "queued") {
    fill(context.root, heading(run.title || id), h("p", null, badge(run)), h("p", null, h("a", { class: "button main", href: "#/now/" + encodeURIComponent(id) }, "Watch it")));
    context.on_change(() => context.reopen());
    return;
  }
  const file = (name, label) => h("a", { class: "button", href: path("runs", id, name), target: "_blank", rel: "noopener" }, label);
  const frame = h("iframe", { class: "report", sandbox: "allow-scripts allow-popups", title: "Report of " + id, src: path("runs", id, "report"), loading: "lazy" });
  fill(context.root, h("header", { class: "top " + look.style }, h("p", { class: "crumbs" }, h("a", { href: "#/history" }, "History"), bdi(id), time(run.started)), h("h1", { tabindex: "-1", dir: "auto" }, clean(run.title || id, 160)),
    h("p", { class: "verdict" }, badge(run), h("span", { class: "word" }, bdi(verdict_word(run), 80))), run.why ? h("p", { class: "why", dir: "auto" }, clean(run.why, 800)) : null),
  h("div", { class: "buttons" }, file("report", "Report in a tab of its own"), file("report.md", "Markdown"), file("result", "JSON"), file("junit.xml", "JUnit"), file("journal.json", "Journal"),
    h("a", { class: "button", href: "#/now/" + encodeURIComponent(id) }, "Play back")),
  h("details", { class: "card" }, h("summary", null, "Facts"), facts(run)), frame);
}

export async function open(context) {
  if (context.name === "compare") return show_compare(context);
  if (context.name === "runs" && context.args[0]) return show_run(context, context.args[0]);
  return show_history(context);
}
