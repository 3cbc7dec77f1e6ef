// Game day: who does what, what must be ticked before anything starts, when things were noticed, and what came of it.

import { get, list, path, post } from "/api.js";
import { bdi, field, fill, h, table, time } from "/dom.js";
import { clean, known, outcome, seconds, verdict_word } from "/format.js";
import { act, badge, denied, form, heading, may, problem, region, run_link } from "/parts.js";

const MARKS = [["detected", "Detected"], ["acknowledged", "Acknowledged"], ["mitigated", "Mitigated"]];

async function show_list(context) {
  const trouble = h("div");
  const part = region(context, async (signal) => {
    const { items } = await list("gamedays", {}, 100, signal);
    return table("Game days", [
      { head: "Game day", cell: (row) => [h("a", { href: "#/gamedays/" + encodeURIComponent(row.id) }, bdi(row.title || row.id, 160)), h("span", { class: "under" }, bdi(row.id))] },
      { head: "State", cell: (row) => h("span", { class: "badge " + (row.state === "running" ? "running" : row.state === "ended" ? "pass" : "unsure") }, bdi(row.state || "", 40)) },
      { head: "Opened", cell: (row) => time(row.opened), style: "when" }, { head: "Scenario", cell: (row) => bdi(row.scenario || "", 40) },
      { head: "Run", cell: (row) => (row.run ? run_link(row.run) : h("span", { class: "faint" }, "\u2013")) },
      { head: "Goals", cell: (row) => (row.scorecard ? row.scorecard.met + " of " + row.scorecard.of : "\u2013"), style: "number" }
    ], items, "No game day yet. One is a run that people practise on together: a checklist, holds that wait for a go, marks with their times, a scorecard.");
  });
  const adding = h("div");
  fill(context.root, heading("Game day"), part.element, adding);
  if (!may("operator")) return void fill(adding, denied("Preparing one"));
  const items = (await list("playbooks", {}, 500, context.signal)).items.filter((one) => one.valid !== false);
  if (context.signal.aborted) return;
  const save = async (data) => {
    const made = await post("gamedays", { playbook: data.get("playbook") }, { once: true });
    location.hash = "#/gamedays/" + encodeURIComponent(made.id);
  };
  fill(adding, h("details", { class: "card", open: true }, h("summary", null, "New game day"), form(save, trouble, h("div", { class: "fields" },
    field("Playbook", h("select", { name: "playbook", required: true }, items.map((one) => h("option", { value: one.name }, one.title ? one.title + " (" + one.name + ")" : one.name)))),
    h("p", { class: "fine" }, "Its roles, checklist, goals and whether the scenario is secret are in the playbook's section gameday.")),
  h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Prepare")), trouble)));
}

// ---- one -----------------------------------------------------------------------------------------------------------------------------

function checklist(day, ask) {
  const items = day.checklist || [];
  const trouble = h("div");
  if (!items.length) return null;
  const left = items.filter((one) => !one.at).length;
  return h("section", { class: "card" }, h("h2", null, "Before it starts"), h("ul", { class: "checklist" }, items.map((one, i) => {
    const box = h("input", { type: "checkbox", checked: one.at, disabled: one.at || day.state !== "checklist" || !may("operator") });
    box.addEventListener("change", () => ask("check", { item: i }).then(() => document.querySelector(".checklist input:not(:disabled)")?.focus()).catch((error) => {
      box.checked = false;
      fill(trouble, problem(error));
    }));
    return h("li", null, h("label", { class: "check" }, box, " ", bdi(one.item, 400)), one.at ? h("span", { class: "under" }, bdi(one.by || ""), " ", time(one.at, "clock")) : null);
  })), left ? h("p", { class: "soft" }, left + " left: nothing starts before.") : h("p", { class: "good" }, "\u2713 All ticked."), trouble);
}

// A timer that nobody stopped took longer than was watched; it is not nought.
function timers(card) {
  return h("div", { class: "stats" }, (card.timers || []).map((timer) => {
    const value = known(timer.value_s) ? seconds(timer.value_s) : known(timer.at_least_s) ? "> " + seconds(timer.at_least_s) : "\u2013";
    const tile = h("div", { class: "card stat" }, h("h2", null, bdi(timer.timer, 60)), h("p", { class: "value" }, value),
      h("p", { class: "label" }, (known(timer.target_s) ? "goal " + seconds(timer.target_s) + ": " : "") + String(timer.outcome || "").replaceAll("_", " ")));
    tile.dataset.level = timer.outcome === "met" ? "good" : timer.outcome === "broken" ? "bad" : "";
    return tile;
  }));
}

function scorecard(day) {
  const card = day.scorecard;
  if (!card) return null;
  const look = outcome({ ...card, state: "ended" });
  return [h("section", { class: "top " + look.style }, h("h2", null, card.met + " of " + card.of + " goals met"), h("p", { class: "verdict" }, badge({ ...card, state: "ended" }), h("span", { class: "word" }, bdi(verdict_word(card), 80))),
    card.why ? h("p", { class: "why" }, bdi(card.why, 800)) : null), timers(card), h("section", { class: "card" }, h("h2", null, "The plan"), h("dl", { class: "facts" }, (card.plan || []).map((part) => [h("dt", null, bdi(part.what, 120)),
    h("dd", { class: part.done >= part.of ? "good" : "bad" }, part.done + " of " + part.of)])), day.run ? h("p", null, run_link(day.run, "The report of its run"), ", ", h("a", { href: "#/findings" }, "findings")) : null)];
}

function mark_card(ask) {
  const trouble = h("div");
  return h("section", { class: "card" }, h("h2", null, "Marks"), h("div", { class: "marks" }, MARKS.map(([mark, label]) => act(label, () => ask("mark", { mark }), trouble, { class: "mark" }))),
    form(async (data, element) => { await ask("mark", { mark: "note", text: data.get("text") }); element.reset(); }, trouble, h("div", { class: "note-row" },
      h("input", { name: "text", "aria-label": "Note", placeholder: "What do you see?", required: true, maxlength: "399" }), h("button", { type: "submit" }, "Note"))), trouble);
}

function one_day(day, refresh) {
  const trouble = h("div");
  const ask = async (verb, body) => { await post(path("gamedays", day.id, verb), body, { once: true, timeout_ms: 30000 }); await refresh(); };
  const is_running = day.state === "running";
  const roles = Object.entries(day.roles || {}).filter(([, name]) => name);
  const left = (day.checklist || []).some((one) => !one.at);
  const go = act(is_running ? "Go on" : "Go", () => ask("go"), trouble, { class: "main" });
  go.disabled = left;
  return [h("p", { class: "crumbs" }, h("a", { href: "#/gamedays" }, "Game days"), bdi(day.id, 60), day.run ? h("a", { href: "#/now/" + encodeURIComponent(day.run) }, day.state === "ended" ? "Play the run back" : "Watch the run") : null),
    h("header", { class: "top " + (is_running ? "running" : "") }, h("h1", { tabindex: "-1", dir: "auto" }, clean(day.title || "Game day", 160)),
      h("p", { class: "state-line" }, h("span", { class: "pulse", "aria-hidden": "true" }), h("span", { class: "phase-name" }, bdi(day.state || "")), day.scenario === "secret" ? h("span", { class: "chip" }, "secret scenario") : null),
      day.state === "ended" ? null : !may("operator") ? denied("Leading it") : h("p", { class: "buttons" }, go, act("End", () => ask("end"), trouble, { class: "quiet" })), trouble),
    h("div", { class: "day" }, scorecard(day), h("div", { class: "two even" }, checklist(day, ask), is_running && may("operator") ? mark_card(ask) : null, roles.length ? h("section", { class: "card" }, h("h2", null, "Roles"),
      h("dl", { class: "facts" }, roles.map(([role, name]) => [h("dt", null, clean(role, 40).replaceAll("-", " ")), h("dd", null, bdi(Array.isArray(name) ? name.join(", ") : name, 200))]))) : null))];
}

export async function open(context) {
  const id = context.args[0];
  if (!id) return show_list(context);
  const part = region(context, async (signal, element) => {
    const day = await get(path("gamedays", id), { signal });
    context.title("Game day: " + clean(day.title || id, 80));
    if (element.contains(document.activeElement) && document.activeElement.name === "text" && document.activeElement.value) return null;
    return one_day(day, () => part.refresh());
  });
  fill(context.root, part.element);
  const timer = setInterval(() => { if (document.visibilityState === "visible") part.refresh(); }, 2000);
  context.signal.addEventListener("abort", () => clearInterval(timer));
}
