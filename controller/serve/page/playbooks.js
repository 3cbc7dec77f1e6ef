// Playbooks: what each is for, its source with located errors, a dry run with exact targets, and starting it.

import { call, get, list, path, post } from "/api.js";
import { bdi, field, fill, h, table, time } from "/dom.js";
import { clean, interval, known, number, seconds, share } from "/format.js";
import { act, badge, denied, heading, last_run, located, may, NO_PLAYBOOK, playbook_link, region, start_run } from "/parts.js";

// ---- the list ------------------------------------------------------------------------------------------------------------------------

function columns() {
  return [
    { head: "Playbook", cell: (row) => [playbook_link(row.name, row.title || row.name), h("span", { class: "under" }, bdi(row.name))] },
    { head: "Service", cell: (row) => bdi(row.service || "\u2013", 40) },
    { head: "Tags", cell: (row) => h("span", { class: "chips" }, (row.tags || []).slice(0, 6).map((tag) => h("span", { class: "chip" }, bdi(tag, 40)))), style: "roomy" },
    { head: "File", cell: (row) => (row.valid === false ? h("span", { class: "bad" }, (row.errors?.length || 1) + " error" + (row.errors?.length === 1 ? "" : "s")) : "sound"), style: "when" },
    { head: "Last run", cell: (row) => (row.last_run ? [badge(last_run(row)), h("span", { class: "under" }, time(row.last_run.started))] : h("span", { class: "faint" }, "never")), style: "when" },
    { head: "Convergence", cell: (row) => interval(row.last_run?.convergence_s), style: "number" }
  ];
}

async function show_list(context) {
  const search = h("input", { type: "search", "aria-label": "Find a playbook", placeholder: "Find a playbook" });
  let items = [];
  const shown = h("div");
  const draw = () => {
    const word = search.value.trim().toLowerCase();
    const match = (row) => [row.name, row.title, row.service, ...(row.tags || [])].some((text) => String(text || "").toLowerCase().includes(word));
    fill(shown, table("Playbooks", columns(), items.filter(match), word ? "No playbook has this word." : NO_PLAYBOOK));
  };
  search.addEventListener("input", draw);
  const part = region(context, async (signal) => {
    items = (await list("playbooks", {}, 1000, signal)).items;
    draw();
    return shown;
  });
  fill(context.root, heading("Playbooks", h("div", { class: "tools" }, search)), part.element);
}

// ---- one -----------------------------------------------------------------------------------------------------------------------------

// The source with numbered lines; lines with an error are marked and say it.
function source_view(source, errors) {
  const wrong = new Map();
  for (const one of errors || []) {
    const line = /:(\d+)(:\d+)?$/.exec(one.where || "");
    if (line) wrong.set(Number(line[1]), [...(wrong.get(Number(line[1])) || []), one.message]);
  }
  const lines = clean(source, 400000).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return h("ol", { class: "source", tabindex: "0", "aria-label": "Source" }, lines.map((line, i) => {
    const said = wrong.get(i + 1);
    return h("li", { class: said ? "wrong" : null }, h("code", null, line || " "), said ? h("span", { class: "bad" }, said.map((text) => h("span", { class: "said" }, bdi(text, 400)))) : null);
  }));
}

function vars_of(playbook) {
  return Object.entries(playbook.vars || {});
}

function read_vars(data) {
  const vars = {};
  for (const [key, value] of data.entries()) {
    if (key.startsWith("var.") && value !== "") vars[key.slice(4)] = value;
    if (key !== "more") continue;
    for (const line of String(value).split("\n").filter((one) => one.includes("=")))
      vars[line.slice(0, line.indexOf("=")).trim()] = line.slice(line.indexOf("=") + 1).trim();
  }
  return vars;
}

function preview_view(preview) {
  const errors = preview.errors || [];
  return h("div", { class: "preview" }, errors.length ? located(errors) : null, h("pre", { tabindex: "0", "aria-label": "Dry run" }, clean(preview.text, 40000)),
    h("p", { class: "fine" }, preview.exit_status ? "It would be refused (status " + preview.exit_status + "). Nothing was started." : "These are the exact targets. Nothing was started."));
}

function start_form(context, playbook) {
  if (!may("operator")) return h("section", { class: "card" }, h("h2", null, "Start"), denied("Starting it"));
  const trouble = h("div");
  const result = h("div", { "aria-live": "polite" });
  const own = vars_of(playbook);
  const inputs = own.map(([name, value]) => field(name, h("input", { name: "var." + name, placeholder: String(value), autocomplete: "off" })));
  const more = own.length ? null : field("Variables", h("textarea", { name: "more", rows: "2", spellcheck: "false", placeholder: "rate=100/s" }), "One NAME=VALUE a line; empty takes the playbook's own.");
  const seed = field("Seed", h("input", { name: "seed", inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off", placeholder: "drawn" }));
  const element = h("form", { class: "form card start" }, h("h2", null, "Start"), h("div", { class: "fields" }, inputs, more, seed));
  const vars = () => read_vars(new FormData(element));
  const start = act("Start", async () => {
    const run = await start_run(playbook.name, vars(), new FormData(element).get("seed"));
    location.hash = "#/now/" + encodeURIComponent(run.id);
  }, trouble, { class: "main" });
  start.disabled = playbook.valid === false;
  const why = start.disabled ? h("p", { class: "fine" }, "It can be started once its errors are mended.") : null;
  const dry = act("Dry run", async () => { fill(result, preview_view(await post(path("playbooks", playbook.name, "preview"), { vars: vars() }, { timeout_ms: 30000 }))); }, trouble);
  element.addEventListener("submit", (event) => { event.preventDefault(); dry.click(); });
  element.append(why || "", h("p", { class: "buttons" }, start, dry), trouble, result);
  return element;
}

const span = (from_s, for_s) => [known(from_s) ? "at " + seconds(from_s) : "", known(for_s) ? "for " + seconds(for_s) : ""].filter(Boolean).join(" ");

// What one entry of a list of the playbook says in a line.
const LINES = {
  faults: (one) => [h("code", null, bdi(one.spec || one.fault, 300)), one.scope ? [" on ", bdi(one.scope, 80)] : null, " ", h("span", { class: "soft" }, span(one.at_s, one.for_s))],
  targets: (one) => [h("b", null, bdi(one.name, 80)), " ", h("code", null, bdi([].concat(one.command || [], one.unit || [], one.cgroup || [], one.address || [], known(one.pid) ? "pid " + one.pid : []).join(" "), 400))],
  proxies: (one) => [h("b", null, bdi(one.name, 80)), " ", h("code", null, bdi((one.listen || "") + " \u2192 " + (one.upstream || ""), 300)), one.captures ? h("span", { class: "chip" }, "captures") : null],
  loads: (one) => [h("b", null, bdi(one.name, 80)), " ", h("code", null, bdi(one.url || "", 300)), known(one.rate_per_s) ? " " + number(one.rate_per_s) + " /s" : null],
  guards: (one) => [bdi([one.signal, one.above ? "above " + one.above : "", one.below ? "below " + one.below : ""].filter(Boolean).join(" "), 300), known(one.for_s) ? h("span", { class: "soft" }, " for " + seconds(one.for_s)) : null]
};

function facts(playbook) {
  const row = (name, key) => (playbook[key]?.length ? [h("dt", null, name), h("dd", null, playbook[key].slice(0, 30).map((one) => h("div", null, LINES[key](one))))] : null);
  const expect = playbook.expect || {};
  const expects = [known(expect.convergence_max_s) ? "converges within " + seconds(expect.convergence_max_s) : null, known(expect.loss_max_s) ? "loses at most " + seconds(expect.loss_max_s) + " of full outage" : null,
    known(expect.band) ? "band " + share(expect.band) : null, known(expect.hold_s) ? "held " + seconds(expect.hold_s) : null].filter(Boolean).join(", ");
  const plain = (name, value) => (value ? [h("dt", null, name), h("dd", null, bdi(value, 300))] : null);
  return h("dl", { class: "facts" }, plain("Service", playbook.service), plain("Owner", playbook.owner), plain("Rigour", playbook.rigour), row("Faults", "faults"), row("Targets", "targets"), row("Proxies", "proxies"),
    row("Load", "loads"), row("Guards", "guards"), plain("Expects", expects));
}

function source_card(playbook, may_write, refresh) {
  const trouble = h("div");
  const state = h("div", { "aria-live": "polite" });
  const view = h("div", null, source_view(playbook.source, playbook.errors));
  const check = act("Check", async () => {
    const result = await post(path("playbooks", playbook.name, "check"), {}, { timeout_ms: 30000 });
    fill(state, result.valid ? h("p", { class: "good" }, "\u2713 Sound: nothing to mend.") : located(result.errors || []));
    fill(view, source_view(playbook.source, result.errors));
  }, trouble);
  const edit = h("button", { type: "button" }, "Edit");
  edit.addEventListener("click", () => fill(view, editor(playbook, refresh, () => fill(view, source_view(playbook.source, playbook.errors)))));
  return h("section", { class: "card source-card" }, h("div", { class: "card-head" }, h("h2", null, "Source"), h("p", { class: "buttons" }, check, may_write ? edit : null)),
    trouble, state, playbook.errors?.length ? located(playbook.errors) : null, view);
}

function editor(playbook, saved, cancel) {
  const trouble = h("div");
  const text = h("textarea", { rows: "24", spellcheck: "false", class: "mono", "aria-label": "Source of the playbook", value: playbook.source });
  const save = act("Save", async () => {
    await call("PUT", path("playbooks", playbook.name), { body: { source: text.value }, headers: playbook.hash ? { "If-Match": "\"" + playbook.hash + "\"" } : {} });
    saved();
  }, trouble, { class: "main" });
  const back = h("button", { type: "button" }, "Cancel");
  back.addEventListener("click", cancel);
  return [text, h("p", { class: "buttons" }, save, back), trouble];
}

async function show_one(context, name) {
  const load = async () => {
    const playbook = await get(path("playbooks", name), { signal: context.signal });
    if (context.signal.aborted) return;
    context.title(clean(playbook.title || name, 80));
    fill(context.root, heading(playbook.title || name), h("p", { class: "crumbs" }, h("a", { href: "#/playbooks" }, "Playbooks"), bdi(name), h("a", { href: "#/trends/" + encodeURIComponent(name) }, "Trend"),
      h("a", { href: "#/history?playbook=" + encodeURIComponent(name) }, "History")),
    h("div", { class: "two" }, h("div", null, playbook.description ? h("section", { class: "card" }, h("p", { class: "lines", dir: "auto" }, clean(playbook.description, 4000))) : null,
      playbook.valid === false ? null : h("section", { class: "card" }, h("h2", null, "What it does"), facts(playbook)), start_form(context, playbook)),
    source_card(playbook, may("admin"), load)));
  };
  await load();
}

export async function open(context) {
  return context.args[0] ? show_one(context, context.args.join("/")) : show_list(context);
}
