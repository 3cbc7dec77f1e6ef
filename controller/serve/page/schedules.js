// Schedules: what comes next, skipping and pausing it, what came of earlier occurrences and why; windows that allow or freeze.

import { call, get, list, path, post } from "/api.js";
import { bdi, field, fill, h, table, time } from "/dom.js";
import { act, denied, form, heading, may, playbook_link, region, run_link } from "/parts.js";

const STATES = { due: "running", started: "pass", skipped: "unsure" };

const MISSED = { skip: "missed ones are skipped", one: "runs once when some were missed" };
const BUSY = { forbid: "skipped while its targets are busy", queue: "waits while its targets are busy", replace: "ends what disturbs its targets" };

function describe(schedule) {
  const timing = [schedule.cron, schedule.zone].filter(Boolean).join(" \u00b7 ");
  const jitter = schedule.jitter && !/^0/.test(schedule.jitter) ? "up to " + schedule.jitter + " later" : "";
  const missed = typeof schedule.catch_up === "object" ? "all that were missed run" : MISSED[schedule.catch_up];
  return [h("code", null, bdi(timing, 200)), h("span", { class: "under" }, [jitter, missed, BUSY[schedule.overlap]].filter(Boolean).join(" \u00b7 "))];
}

function what(schedule) {
  if (schedule.playbook) return playbook_link(schedule.playbook);
  return schedule.suite ? ["suite ", bdi(schedule.suite)] : "\u2013";
}

function buttons(schedule, refresh, trouble) {
  const id = String(schedule.id ?? schedule.name);
  if (!may("operator")) return null;
  const name = " " + (schedule.name || id);
  const ask = (label, verb) => act([label, h("span", { class: "away" }, name)], async () => { await post(path("schedules", id, verb)); refresh(); }, trouble);
  if (schedule.source === "file") return [schedule.enabled === false ? null : h("span", { class: "buttons" }, ask("Skip next", "skip")), h("span", { class: "under" }, "kept in serve.yaml")];
  return h("span", { class: "buttons" }, schedule.enabled === false ? ask("Resume", "resume") : [ask("Skip next", "skip"), ask("Pause", "pause")],
    act(["Delete", h("span", { class: "away" }, name)], async () => { await call("DELETE", path("schedules", id)); refresh(); }, trouble, { class: "quiet" }));
}

function next_of(schedule) {
  if (schedule.enabled === false) return h("span", { class: "chip" }, "paused");
  if (!schedule.next?.due) return [h("span", { class: "faint" }, "none"), schedule.note ? h("span", { class: "under" }, bdi(schedule.note, 200)) : null];
  const is_skipped = schedule.skip === schedule.next.due;
  return [is_skipped ? h("del", null, time(schedule.next.due)) : time(schedule.next.due), h("span", { class: "under" }, time(schedule.next.due, "relative"), is_skipped ? ", will be skipped" : null),
    schedule.note ? h("span", { class: "under" }, bdi(schedule.note, 200)) : null];
}

function schedule_table(items, refresh, trouble) {
  return table("Schedules", [
    { head: "Schedule", cell: (row) => [h("b", null, bdi(row.name, 80)), h("span", { class: "under" }, what(row))] },
    { head: "When", cell: describe },
    { head: "Next", cell: next_of, style: "when" },
    { head: "", says: "Actions", cell: (row) => buttons(row, refresh, trouble), style: "actions" }
  ], items, "No schedule yet: " + (may("operator") ? "the form below makes one, or serve.yaml holds them." : "an operator makes them here, or in serve.yaml."));
}

function occurrence_table(items) {
  return table("Occurrences", [
    { head: "Due", cell: (row) => time(row.due), style: "when" },
    { head: "Schedule", cell: (row) => bdi(row.name || row.schedule, 80) },
    { head: "State", cell: (row) => h("span", { class: "badge " + (STATES[row.state] || "unsure") }, row.state) },
    { head: "Why", cell: (row) => (row.reason ? bdi(row.reason, 300) : null) },
    { head: "Run", cell: (row) => (row.run ? run_link(row.run) : h("span", { class: "faint" }, "\u2013")) }
  ], items, "Nothing was due yet. Each occurrence is listed here, started or skipped, with the reason.");
}

const option = (value, label) => h("option", { value }, label || value);

function add_form(playbooks, suites, refresh) {
  const trouble = h("div");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const choice = h("select", { name: "what", required: true }, playbooks.map((one) => option("playbook " + one.name, one.title ? one.title + " (" + one.name + ")" : one.name)),
    suites.map((one) => option("suite " + one.name, "suite " + one.name)));
  const save = async (data, element) => {
    const [kind, ...rest] = data.get("what").split(" ");
    await post("schedules", { name: data.get("name"), [kind]: rest.join(" "), cron: data.get("cron"), zone: data.get("zone"), catch_up: data.get("catch_up"),
      overlap: data.get("overlap"), enabled: true, ...(data.get("jitter") ? { jitter: data.get("jitter") } : {}) }, { once: true });
    element.reset();
    refresh();
  };
  return h("details", { class: "card" }, h("summary", null, "New schedule"), form(save, trouble, h("div", { class: "fields" },
    field("Name", h("input", { name: "name", required: true, maxlength: "80", autocomplete: "off" })), field("Runs", choice),
    field("When", h("input", { name: "cron", required: true, placeholder: "30 9 * * mon-fri", autocomplete: "off", spellcheck: "false" }), "Five fields as cron has them, @weekly and friends, or @every 6h."),
    field("Zone", h("input", { name: "zone", value: zone, required: true, spellcheck: "false" })), field("Jitter", h("input", { name: "jitter", placeholder: "5m", autocomplete: "off" })),
    field("When it was missed", h("select", { name: "catch_up" }, option("skip", "skip it"), option("one", "run once"))),
    field("When its targets are busy", h("select", { name: "overlap" }, option("forbid", "skip, with the reason"), option("queue", "wait"), option("replace", "end the other")))),
  h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Create")), trouble));
}

function window_part(context) {
  const trouble = h("div");
  const part = region(context, async (signal) => {
    const { items } = await get("windows", { signal });
    return table("Windows", [
      { head: "Window", cell: (row) => bdi(row.name, 80) }, { head: "Kind", cell: (row) => [h("span", { class: "badge " + (row.kind === "freeze" ? "running" : "pass") }, row.kind), row.open ? " open now" : null] },
      { head: "When", cell: (row) => (row.cron ? [h("code", null, bdi(row.cron)), " for ", bdi(row.duration)] : [time(row.from), " to ", time(row.until)]) },
      { head: "", says: "Actions", cell: (row) => (may("operator") ? act(["Delete", h("span", { class: "away" }, " " + row.name)], async () => { await call("DELETE", path("windows", row.name)); part.refresh(); }, trouble, { class: "quiet" }) : null), style: "actions" }
    ], items, "No window: schedules may run at any time. A freeze keeps them all quiet, an allow window lets those that name it run only then.");
  });
  const save = async (data, element) => {
    const iso = (name) => new Date(data.get(name)).toISOString().replace(/\.\d+Z$/, "Z");
    await post("windows", { name: data.get("name"), kind: data.get("kind"), from: iso("from"), until: iso("until") }, { once: true });
    element.reset();
    part.refresh();
  };
  return h("section", null, h("h2", null, "Windows"), part.element, trouble, !may("operator") ? null : h("details", { class: "card" }, h("summary", null, "New window"), form(save, trouble, h("div", { class: "fields" },
    field("Name", h("input", { name: "name", required: true, autocomplete: "off" })), field("Kind", h("select", { name: "kind" }, option("freeze", "freeze: nothing starts"), option("allow", "allow: only then"))),
    field("From", h("input", { name: "from", type: "datetime-local", required: true })), field("Until", h("input", { name: "until", type: "datetime-local", required: true }))),
  h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Create")))));
}

// All schedules at once.
function scheduler_button(context, trouble) {
  const holder = h("span");
  const draw = () => {
    if (!may("operator")) return;
    const is_paused = context.status()?.scheduler === "paused";
    fill(holder, is_paused ? h("span", { class: "badge unsure" }, "all paused") : null, " ", act(is_paused ? "Resume all" : "Pause all", async () => {
      await post(is_paused ? "scheduler/resume" : "scheduler/pause");
      await context.look();
      draw();
    }, trouble));
  };
  draw();
  return holder;
}

export async function open(context) {
  const trouble = h("div");
  const none = () => ({ items: [] });
  const part = region(context, async (signal) => schedule_table((await get("schedules", { signal })).items, () => { part.refresh(); past.refresh(); }, trouble));
  const past = region(context, async (signal) => occurrence_table((await list("occurrences", {}, 60, signal)).items));
  const adding = h("div");
  if (!may("operator")) fill(adding, denied("Changing schedules"));
  fill(context.root, heading("Schedules", h("div", { class: "tools" }, scheduler_button(context, trouble))), part.element, trouble, adding, h("section", null, h("h2", null, "Occurrences"), past.element), window_part(context));
  if (!may("operator")) return;
  const [playbooks, suites] = await Promise.all([list("playbooks", {}, 1000, context.signal).catch(none), get("suites", { signal: context.signal }).catch(none)]);
  if (!context.signal.aborted) fill(adding, add_form(playbooks.items, suites.items, () => { part.refresh(); past.refresh(); }));
}
