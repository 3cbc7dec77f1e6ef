// Findings: what failed and is not proved mended, who mends it and when it is tested again.

import { call, list, path } from "/api.js";
import { bdi, fill, h, table, time } from "/dom.js";
import { form, heading, may, playbook_link, region, run_link } from "/parts.js";

function assign(finding, refresh) {
  const trouble = h("div");
  const owner = h("input", { name: "owner", value: finding.owner || "", placeholder: "owner", maxlength: "120", "aria-label": "Owner of finding " + finding.id, autocomplete: "off" });
  const due = h("input", { name: "due", type: "date", value: finding.due || "", "aria-label": "Re-test date of finding " + finding.id });
  const save = h("button", { type: "submit" }, "Save", h("span", { class: "away" }, " finding " + finding.id));
  return [form(async () => {
    await call("PATCH", path("findings", String(finding.id)), { body: { ...(owner.value ? { owner: owner.value } : {}), ...(due.value ? { due: due.value } : {}) } });
    refresh();
  }, trouble, h("span", { class: "assign" }, owner, due, save)), trouble];
}

function is_late(finding) {
  return finding.due && !finding.closed && finding.due < new Date().toISOString().slice(0, 10);
}

export async function open(context) {
  let all = context.query.get("all") === "1";
  const toggle = h("input", { type: "checkbox", id: "all-findings", checked: all });
  toggle.addEventListener("change", () => { all = toggle.checked; part.refresh(); });
  const part = region(context, async (signal, element) => {
    if (element.contains(document.activeElement)) return null; // somebody is writing in it
    const { items } = await list("findings", all ? { all: "1" } : {}, 500, signal);
    return table("Findings", [
      { head: "Finding", cell: (row) => [h("b", null, bdi(row.title || row.playbook, 160)), h("span", { class: "under" }, row.playbook ? playbook_link(row.playbook) : null)] },
      { head: "Why", cell: (row) => bdi(row.why || row.verdict || "", 400) },
      { head: "Failed", cell: (row) => [row.failures + (row.failures === 1 ? " time, " : " times, "), time(row.last || row.opened, "day"), h("span", { class: "under" }, row.last_run ? run_link(row.last_run) : null)] },
      { head: "State", cell: (row) => (row.state === "closed" ? h("span", { class: "badge pass" }, "mended") : is_late(row) ? h("span", { class: "badge fail" }, "overdue") : h("span", { class: "badge unsure" }, "open")) },
      { head: "Owner and re-test", cell: (row) => (row.closed ? [bdi(row.owner || ""), " ", bdi(row.closed_run || "")] : !may("operator") ? [bdi(row.owner || "nobody"), row.due ? h("span", { class: "under" }, "until ", bdi(row.due)) : null] : assign(row, () => { document.activeElement?.blur(); part.refresh(); })), style: "actions" }
    ], items, (all ? "No finding yet." : "No open finding.") + " One opens when a playbook fails; it gets an owner and a date to test again, and only a run that passes closes it.");
  });
  fill(context.root, heading("Findings", h("div", { class: "tools" }, h("label", { class: "check", for: "all-findings" }, toggle, " with those that are mended"))), part.element);
}
