// Game day: who does what, what must be ticked before anything starts, when things were noticed, and what came of it.

import { get, list, path, post } from "/api.js";
import { bdi, field, fill, h, table, time } from "/dom.js";
import { clean, seconds } from "/format.js";
import { act, form, heading, playbook_link, region, run_link } from "/parts.js";

const ROLES = ["commander", "driver", "observer", "abort owner"];
const MARKS = [["detected", "Detected"], ["acknowledged", "Acknowledged"], ["mitigated", "Mitigated"]];

async function show_list(context) {
  const trouble = h("div");
  const part = region(context, async (signal) => {
    const { items } = await list("gamedays", {}, 100, signal);
    return table("Game days", [
      { head: "Game day", cell: (row) => h("a", { href: "#/gamedays/" + encodeURIComponent(row.id) }, bdi(row.title || row.playbook || row.id, 160)) }, { head: "Playbook", cell: (row) => (row.playbook ? playbook_link(row.playbook) : "\u2013") },
      { head: "State", cell: (row) => h("span", { class: "chip" }, bdi(row.state || row.phase || "")) }, { head: "Started", cell: (row) => time(row.started || row.created), style: "when" },
      { head: "Run", cell: (row) => (row.run ? run_link(row.run) : h("span", { class: "faint" }, "\u2013")) }
    ], items, "No game day yet.");
  });
  const adding = h("div");
  fill(context.root, heading("Game day"), part.element, adding);
  const { items } = await list("playbooks", {}, 500, context.signal);
  if (context.signal.aborted) return;
  const save = async (data) => {
    const roles = Object.fromEntries(ROLES.map((role) => [role.replace(" ", "_"), data.get(role)]).filter(([, name]) => name));
    const made = await post("gamedays", { playbook: data.get("playbook"), roles, secret: data.get("secret") === "1" }, { once: true });
    location.hash = "#/gamedays/" + encodeURIComponent(made.id);
  };
  fill(adding, h("details", { class: "card", open: true }, h("summary", null, "New game day"), form(save, trouble, h("div", { class: "fields" },
    field("Playbook", h("select", { name: "playbook", required: true }, items.map((one) => h("option", { value: one.name }, one.title ? one.title + " (" + one.name + ")" : one.name)))),
    ROLES.map((role) => field(role[0].toUpperCase() + role.slice(1), h("input", { name: role, maxlength: "80", autocomplete: "off" }))),
    field("Scenario", h("select", { name: "secret" }, h("option", { value: "0" }, "announced"), h("option", { value: "1" }, "secret until the release")))),
  h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Prepare")), trouble)));
}

// ---- one -----------------------------------------------------------------------------------------------------------------------------

function checklist(day, ask, trouble) {
  const items = day.checklist || [];
  if (!items.length) return null;
  const left = items.filter((one) => !(one.done || one.ticked)).length;
  return h("section", { class: "card" }, h("h2", null, "Before it starts"), h("ul", { class: "checklist" }, items.map((one, i) => {
    const done = one.done || one.ticked;
    const box = h("input", { type: "checkbox", checked: done, disabled: done });
    box.addEventListener("change", () => ask("check", { item: one.id ?? i }).catch(() => { box.checked = false; }));
    return h("li", null, h("label", { class: "check" }, box, " ", bdi(one.text || one.item || one, 400)), one.by ? h("span", { class: "under" }, bdi(one.by), " ", time(one.at, "clock")) : null);
  })), left ? h("p", { class: "soft" }, left + " left: nothing starts before.") : h("p", { class: "good" }, "\u2713 All ticked."), trouble);
}

function timers(day) {
  const score = day.scorecard || day;
  const tile = (name, value, note) => h("div", { class: "card stat" }, h("h2", null, name), h("p", { class: "value" }, seconds(value)), h("p", { class: "label" }, note));
  return h("div", { class: "stats" }, tile("Detected after", score.ttd_s, "time to detect"), tile("Acknowledged after", score.tta_s, "time to acknowledge"), tile("Mitigated after", score.ttm_s, "time to mitigate"));
}

function scorecard(day) {
  const score = day.scorecard;
  if (!score) return null;
  const rows = Object.entries(score).filter(([, value]) => value !== null && typeof value !== "object");
  return h("section", { class: "card" }, h("h2", null, "Scorecard"), h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", null, clean(name, 60).replace(/_s$/, "").replaceAll("_", " ")),
    h("dd", null, name.endsWith("_s") ? seconds(value) : bdi(value, 400))])));
}

function one_day(day, refresh) {
  const trouble = h("div"), note_trouble = h("div");
  const ask = async (verb, body) => { await post(path("gamedays", day.id, verb), body || {}, { once: true }); await refresh(); };
  const ended = ["ended", "done", "aborted"].includes(day.state);
  const marks = h("section", { class: "card" }, h("h2", null, "Marks"), h("div", { class: "marks" }, MARKS.map(([mark, label]) => act(label, () => ask("mark", { mark }), note_trouble, { class: "mark" }))),
    form(async (data, element) => { await ask("mark", { mark: "note", text: data.get("text") }); element.reset(); }, note_trouble, h("div", { class: "note-row" },
      h("input", { name: "text", "aria-label": "Note", placeholder: "What do you see?", required: true, maxlength: "500" }), h("button", { type: "submit" }, "Note"))), note_trouble);
  const roles = Object.entries(day.roles || {});
  return [h("p", { class: "crumbs" }, h("a", { href: "#/gamedays" }, "Game days"), day.playbook ? playbook_link(day.playbook) : null, day.run ? h("a", { href: "#/now/" + encodeURIComponent(day.run) }, "Watch the run") : null),
    h("header", { class: "top " + (ended ? "" : "running") }, h("h1", { tabindex: "-1", dir: "auto" }, clean(day.title || day.playbook || "Game day", 160)), h("p", { class: "state-line" }, h("span", { class: "phase-name" }, bdi(day.state || "")),
      day.hold ? [" holds: ", h("b", null, bdi(day.hold.text || day.hold, 300))] : null), h("p", { class: "buttons" }, ended ? null : act("Go", () => ask("go"), trouble, { class: "main" }), ended ? null : act("End", () => ask("end"), trouble, { class: "quiet" })), trouble),
    timers(day), h("div", { class: "two even" }, checklist(day, ask, h("div")), ended ? null : marks), roles.length ? h("section", { class: "card" }, h("h2", null, "Roles"),
      h("dl", { class: "facts" }, roles.map(([role, name]) => [h("dt", null, clean(role, 40).replaceAll("_", " ")), h("dd", null, bdi(Array.isArray(name) ? name.join(", ") : name, 200))]))) : null, scorecard(day)];
}

export async function open(context) {
  const id = context.args[0];
  if (!id) return show_list(context);
  const part = region(context, async (signal, element) => {
    const day = await get(path("gamedays", id), { signal });
    context.title("Game day: " + clean(day.title || day.playbook || id, 80));
    if (element.contains(document.activeElement) && document.activeElement.tagName === "INPUT" && document.activeElement.value) return null;
    return one_day(day, () => part.refresh());
  });
  fill(context.root, part.element);
  const timer = setInterval(() => { if (document.visibilityState === "visible") part.refresh(); }, 2000);
  context.signal.addEventListener("abort", () => clearInterval(timer));
}
