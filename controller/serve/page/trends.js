// Trends: convergence of one playbook over the weeks, where its level changed, and a score whose parts are shown.

import { get, list } from "/api.js";
import { bdi, fill, h, table, time, unique } from "/dom.js";
import { clean, instant, interval, known, number, outcome, seconds, share } from "/format.js";
import { badge, heading, last_run, NO_PLAYBOOK, playbook_link, problem, run_link } from "/parts.js";

const WIDTH = 1000, HEIGHT = 300, LEFT = 64, RIGHT = 16, TOP = 14, BOTTOM = 34;

function round_up(value) {
  const power = Math.pow(10, Math.floor(Math.log10(value)));
  return [1, 2, 2.5, 5, 10].find((one) => value <= one * power) * power;
}

// A point a run with its interval, a dashed line where the level changed. A table below says the same.
function plot(points, changes) {
  const shown = points.filter((point) => known(point.convergence_s) && instant(point.started));
  if (!shown.length) return h("p", { class: "empty" }, "No run gave a number yet.");
  const at = shown.map((point) => instant(point.started).date.getTime());
  const first = Math.min(...at), last = Math.max(...at), span = Math.max(last - first, 3600e3);
  const top = round_up(Math.max(...shown.map((point) => Math.max(point.convergence_s, point.high_s || 0)), 1e-3));
  const x = (ms) => LEFT + 10 + (ms - first) / span * (WIDTH - LEFT - RIGHT - 20);
  const y = (value) => TOP + (1 - Math.min(value, top) / top) * (HEIGHT - TOP - BOTTOM);
  const id = unique("plot");
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => [h("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(top * part), y2: y(top * part) }),
    h("text", { x: LEFT - 10, y: y(top * part) + 4, "text-anchor": "end" }, seconds(top * part))]);
  const days = [...new Set([first, first + span / 3, first + span * 2 / 3, first + span])].map((ms, i, all) => h("text", { x: x(ms), y: HEIGHT - 8,
    "text-anchor": i === 0 ? "start" : i === all.length - 1 ? "end" : "middle" }, instant(new Date(ms).toISOString())[span > 3 * 86400e3 ? "day" : "short"]));
  const lines = (changes || []).map((change) => {
    const point = shown.find((one) => one.run === change.run);
    return point ? h("line", { class: "change " + (change.after_s > change.before_s ? "slower" : "faster"), x1: x(instant(point.started).date.getTime()) - 6, x2: x(instant(point.started).date.getTime()) - 6, y1: TOP, y2: HEIGHT - BOTTOM }) : null;
  });
  const marks = shown.map((point, i) => h("g", { class: "point " + outcome({ ...point, state: "ended" }).style }, known(point.low_s) && known(point.high_s) ?
    h("line", { x1: x(at[i]), x2: x(at[i]), y1: y(point.low_s), y2: y(point.high_s) }) : null, h("circle", { cx: x(at[i]), cy: y(point.convergence_s), r: 5 }),
  h("title", null, point.run + ": " + interval(point.convergence_s, point.low_s, point.high_s))));
  return h("figure", { class: "card trend" }, h("svg", { viewBox: "0 0 " + WIDTH + " " + HEIGHT, role: "img", "aria-labelledby": id }, grid, days, lines, marks),
    h("figcaption", { class: "fine", id }, shown.length + " runs: convergence between " + seconds(Math.min(...shown.map((one) => one.convergence_s))) + " and " + seconds(Math.max(...shown.map((one) => one.convergence_s))) +
      ". A point is a run, its line the 95 % interval."));
}

// Shares and lengths of a score, each as what it is.
function part_value(part) {
  if (part.name.endsWith("_s")) return seconds(part.value);
  if (part.name.endsWith("_days")) return number(part.value) + " days";
  return part.name === "recovery" || part.name === "freshness" ? share(part.value) : number(part.value);
}

function score_card(score) {
  if (!score || !known(score.value)) return h("section", { class: "card stat" }, h("h2", null, "Score"), h("p", { class: "value" }, "\u2013"), h("p", { class: "label" }, "Runs of full rigour make a score."));
  return h("section", { class: "card stat" }, h("h2", null, "Score"), h("p", { class: "value" }, hundred(score.value) + " of 100"),
    h("dl", { class: "parts" }, (score.parts || []).map((part) => [h("dt", null, bdi(part.name.replace(/_(s|days)$/, "").replaceAll("_", " "), 80)), h("dd", null, h("b", null, part_value(part)), " ", h("span", { class: "soft" }, bdi(part.what || "", 300)))])));
}

const hundred = (value) => Math.round(value <= 1 ? value * 100 : value);

function change_list(changes) {
  if (!changes?.length) return h("p", { class: "soft" }, "No change of level that chance would not make.");
  return h("ul", { class: "plain changes" }, changes.map((change) => h("li", null, h("span", { class: "badge " + (change.after_s > change.before_s ? "fail" : "pass") }, change.after_s > change.before_s ? "slower" : "faster"),
    " from ", run_link(change.run), change.started ? [" on ", time(change.started, "day")] : null, ": ", seconds(change.before_s), " before, ", seconds(change.after_s), " since", known(change.p) ? ", p " + number(change.p) : "")));
}

async function show_one(context, name) {
  const trend = await get("trends", { query: { playbook: name }, signal: context.signal });
  const all = trend.points || [];
  if (context.signal.aborted) return;
  context.title("Trend: " + clean(name, 80));
  const points = all.filter((point) => point.in_trend !== false);
  const newest = [...points].reverse().find((point) => known(point.convergence_s));
  fill(context.root, heading("Trend of " + name), h("p", { class: "crumbs" }, h("a", { href: "#/trends" }, "Trends"), playbook_link(name, "Playbook"), h("a", { href: "#/history?playbook=" + encodeURIComponent(name) }, "History")),
    h("div", { class: "stats" }, h("section", { class: "card stat" }, h("h2", null, "Latest"), h("p", { class: "value" }, seconds(newest?.convergence_s)), h("p", { class: "label" }, newest ? interval(newest.convergence_s, newest.low_s, newest.high_s) : ""),
      known(trend.median_s) ? h("p", { class: "label" }, "Half are back after ", h("b", null, interval(trend.median_s, trend.median_low_s, trend.median_high_s)), known(trend.p95_s) ? ", 95 % after " + seconds(trend.p95_s) : "") : null), score_card(trend.score)),
    plot(points, trend.change_points), h("section", { class: "card" }, h("h2", null, "Changes of level"), change_list(trend.change_points)),
    h("section", null, h("h2", null, "Runs"), table("Runs of the trend", [{ head: "Run", cell: (row) => run_link(row.run) }, { head: "Started", cell: (row) => time(row.started), style: "when" },
      { head: "Outcome", cell: (row) => badge({ ...row, state: "ended" }) }, { head: "Convergence", cell: (row) => [interval(row.convergence_s, row.low_s, row.high_s), row.in_trend === false ? h("span", { class: "under" }, "not in the trend" + (row.rigour === "quick" ? ": quick" : "")) : null], style: "number" }],
    [...all].reverse().slice(0, 200), "No run of full rigour yet: a quick run never enters a trend.")));
}

async function show_all(context) {
  const [{ items }, scores] = await Promise.all([list("playbooks", {}, 1000, context.signal), list("scores", {}, 1000, context.signal).catch((error) => error)]);
  const by_name = new Map((scores.items || []).map((one) => [one.playbook, one]));
  fill(context.root, heading("Trends"), scores instanceof Error && scores.name !== "AbortError" && scores.status !== 404 ? problem(scores) : null, table("Playbooks", [
    { head: "Playbook", cell: (row) => [h("a", { href: "#/trends/" + encodeURIComponent(row.name) }, bdi(row.title || row.name, 160)), h("span", { class: "under" }, bdi(row.name))] },
    { head: "Score", cell: (row) => { const score = by_name.get(row.name); return known(score?.value) ? [String(hundred(score.value)), score.slower ? [" ", h("span", { class: "badge fail" }, "slower")] : null] : "\u2013"; }, style: "number" },
    { head: "Last run", cell: (row) => (row.last_run ? [badge(last_run(row)), " ", time(row.last_run.started)] : h("span", { class: "faint" }, "never")) },
    { head: "Convergence", cell: (row) => seconds(row.last_run?.convergence_s), style: "number" }
  ], items, NO_PLAYBOOK));
}

export async function open(context) {
  return context.args[0] ? show_one(context, context.args.join("/")) : show_all(context);
}
