// Pieces that several views share.

import { post, Problem } from "/api.js";
import { bdi, fill, h, time } from "/dom.js";
import { clean, interval, outcome, seconds } from "/format.js";

// ---- who asks: viewer < operator < admin (http/routes.def). A page leaves out what its reader may not do; the service decides.

const ROLES = ["viewer", "operator", "admin"];
let rank = -1;

export function set_role(role) {
  rank = ROLES.indexOf(role);
}

export const may = (role) => rank >= ROLES.indexOf(role);

// In the place of controls that are left out.
export function denied(what, role = "operator") {
  return h("p", { class: "fine" }, what + " needs the role " + role + "; you are signed in as " + (ROLES[rank] || "nobody") + ". You can watch everything, and halt.");
}

// ----------------------------------------------------------------------------------------------------------------------------------------

export function announce(text) {
  document.getElementById("announcer").textContent = clean(text, 300);
}

export function badge(run) {
  const look = outcome(run);
  return h("span", { class: "badge " + look.style }, h("span", { "aria-hidden": "true" }, look.sign), " ", look.word);
}

export function heading(title, ...more) {
  return h("div", { class: "heading" }, h("h1", { tabindex: "-1", dir: "auto" }, clean(title, 160)), more);
}

export function problem(error) {
  const box = h("div", { class: "problem", role: "alert" });
  const is_denied = error instanceof Problem && error.status === 403;
  const title = !(error instanceof Problem) ? "This page has a fault" : is_denied ? "Your role does not allow this" : error.title || "Refused";
  const detail = error.message;
  if (!(error instanceof Problem)) console.error(error);
  return fill(box, h("strong", null, title), detail && detail !== title ? h("p", { dir: "auto" }, detail) : null,
    error.errors?.length ? located(error.errors) : null);
}

// Errors of a file, each with its place.
export function located(errors) {
  return h("ul", { class: "located" }, errors.slice(0, 100).map((one) =>
    h("li", null, one.where ? h("code", null, bdi(one.where)) : null, " ", bdi(one.message, 1000))));
}

// A button that does something once, says so while it does, and shows in `where` what went wrong.
export function act(label, does, where, attributes = {}) {
  const button = h("button", { type: "button", ...attributes }, label);
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      fill(where);
      await does();
    } catch (error) {
      if (error.name !== "AbortError") fill(where, problem(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return button;
}

// The same for a form: `does` gets its FormData.
export function form(does, where, ...children) {
  const element = h("form", { class: "form" }, children);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = element.querySelector("button[type=submit]");
    if (button?.getAttribute("aria-busy")) return;
    button?.setAttribute("aria-busy", "true");
    try {
      fill(where);
      await does(new FormData(element), element);
    } catch (error) {
      if (error.name !== "AbortError") fill(where, problem(error));
    } finally {
      button?.removeAttribute("aria-busy");
    }
  });
  return element;
}

// Drawn again whenever the service says that something changed; what went wrong is shown in its place.
export function region(context, load, attributes = {}) {
  const element = h("div", attributes, h("p", { class: "wait" }, "Loading\u2026"));
  let turn = 0;
  const refresh = async () => {
    const mine = ++turn;
    try {
      const content = await load(context.signal, element);
      if (mine === turn && !context.signal.aborted && content) fill(element, content);
    } catch (error) {
      if (mine === turn && error.name !== "AbortError" && !context.signal.aborted) fill(element, problem(error));
    }
  };
  context.on_change(refresh);
  refresh();
  return { element, refresh };
}

export const run_link = (id, text) => h("a", { href: "#/runs/" + encodeURIComponent(id) }, bdi(text || id, 160));
export const playbook_link = (name, text) => h("a", { href: "#/playbooks/" + encodeURIComponent(name) }, bdi(text || name, 160));

// A run's convergence time: a point with its interval on a common scale.
export function error_bar(run, most_s) {
  if (!(most_s > 0) || !Number.isFinite(run.convergence_s)) return null;
  const at = (value) => Math.min(100, value / most_s * 100).toFixed(2) + "%";
  const low = Number.isFinite(run.convergence_low_s) ? run.convergence_low_s : run.convergence_s;
  const high = Number.isFinite(run.convergence_high_s) ? run.convergence_high_s : run.convergence_s;
  return h("svg", { class: "errorbar", height: "14", "aria-hidden": "true" },
    h("line", { class: "grid", x1: "0", y1: "7", x2: "100%", y2: "7" }), h("line", { class: "interval", x1: at(low), y1: "7", x2: at(high), y2: "7" }),
    h("circle", { class: "point " + outcome(run).style, cx: at(run.convergence_s), cy: "7", r: "4.5" }));
}

export function run_columns(most_s, more = []) {
  return [
    { head: "Run", cell: (run) => [run_link(run.id, run.title || run.playbook || run.id), h("span", { class: "under" }, bdi(run.id))] },
    { head: "Outcome", cell: badge },
    { head: "Started", cell: (run) => time(run.started), style: "when" },
    { head: "Convergence", cell: (run) => interval(run.convergence_s, run.convergence_low_s, run.convergence_high_s), style: "number" },
    { head: "Interval", cell: (run) => error_bar(run, most_s), style: "scale" },
    { head: "Loss", cell: (run) => seconds(run.loss_s), style: "number roomy" },
    { head: "By", cell: (run) => by(run), style: "roomy" },
    ...more
  ];
}

// The newest run of a row of playbooks, as other runs are.
export function last_run(row) {
  return { state: row.last_run.verdict === "running" ? "running" : "ended", ...row.last_run };
}

export const NO_PLAYBOOK = "No playbook is stored yet. Put YAML files into the service's playbooks directory (perturb serve --playbooks DIR): they show up here.";

export function by(run) {
  if (!run.by) return h("span", { class: "faint" }, "\u2013");
  return [h("span", { class: "soft" }, run.by.kind), " ", bdi(run.by.name || "", 60)];
}

export function most_of(runs) {
  return runs.reduce((most, run) => Math.max(most, run.convergence_high_s || run.convergence_s || 0), 0);
}

export function start_run(playbook, vars, seed) {
  return post("runs", { playbook, vars, ...(seed ? { seed } : {}) }, { once: true, timeout_ms: 30000 });
}
