// The frame around the views: which one is shown, what the service says of itself, the lever's banner.

import { call, get, post } from "/api.js";
import { bdi, field, fill, h, say, time } from "/dom.js";
import { act, announce, form, heading, may, problem, set_role } from "/parts.js";
import { pause_all, Stream } from "/stream.js";

const VIEWS = {
  now: { file: "now.js", title: "Now" },
  playbooks: { file: "playbooks.js", title: "Playbooks" },
  schedules: { file: "schedules.js", title: "Schedules" },
  history: { file: "runs.js", title: "History" },
  compare: { file: "runs.js", title: "Compare", section: "history" },
  runs: { file: "runs.js", title: "Report", section: "history" },
  trends: { file: "trends.js", title: "Trends" },
  findings: { file: "findings.js", title: "Findings" },
  targets: { file: "targets.js", title: "Targets" },
  gamedays: { file: "gameday.js", title: "Game day" }
};
const STATUS_MS = 5000;
const HALT_PAUSE_MS = 1500;

const main = document.getElementById("content");
const link = document.getElementById("link");
const lever = document.getElementById("lever");
const who = document.getElementById("who");
const app = { status: null, changes: new Set(), current: null, is_first: true, is_signing_in: false };

// ---- views -------------------------------------------------------------------------------------------------------------------

// "#/runs/ID?a=1" -> { name, args, query }
function where_to() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch (error) {
      return part;
    }
  });
  const name = Object.hasOwn(VIEWS, parts[0]) ? parts[0] : "now";
  return { name, args: parts[0] === name ? parts.slice(1) : [], query: new URLSearchParams(query || "") };
}

function mark_section(name) {
  const section = VIEWS[name].section || name;
  document.querySelectorAll("#sections a").forEach((one) => {
    if (one.hash === "#/" + section) {
      one.setAttribute("aria-current", "page");
      one.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else one.removeAttribute("aria-current");
  });
}

function name_page(title) {
  document.title = title + " \u00b7 perturb";
}

async function show(keeps_focus = false) {
  const { name, args, query } = where_to();
  const abort = new AbortController();
  const is_first = app.is_first;
  app.current?.abort();
  app.current = abort;
  app.is_first = false;
  app.changes.clear();
  mark_section(name);
  const context = {
    args, query, name, signal: abort.signal, root: main, status: () => app.status, announce,
    on_change: (react) => app.changes.add(react), reopen: () => show(true), look,
    title: (text) => { if (!abort.signal.aborted) name_page(text); }
  };
  name_page(VIEWS[name].title);
  try {
    const view = await import("/" + VIEWS[name].file);
    if (abort.signal.aborted) return;
    main.className = "view view-" + name;
    fill(main);
    await view.open(context);
  } catch (error) {
    if (!abort.signal.aborted) fill(main, heading(VIEWS[name].title), problem(error));
  }
  if (!abort.signal.aborted && !is_first && !keeps_focus) (main.querySelector("h1") || main).focus({ preventScroll: true });
  if (!abort.signal.aborted) window.scrollTo(0, 0);
}

function changed() {
  app.changes.forEach((react) => react());
}

// ---- who asks ------------------------------------------------------------------------------------------------------------------

// why: what to say above the form.
function sign_in(why) {
  if (app.is_signing_in) return;
  const where = h("div");
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  app.current?.abort();
  app.current = null;
  app.stream?.close();
  app.is_signing_in = true;
  app.is_first = false; // the field had the focus: the view takes it
  app.status = null;
  app.identity = undefined;
  lever.hidden = true;
  lever.dataset.since = "";
  who.hidden = true;
  fill(document.getElementById("foot"));
  show_link("", "");
  name_page("Sign in");
  main.className = "view view-sign-in";
  fill(main, h("div", { class: "card narrow" }, heading("Sign in"), h("p", null, why),
    form(async (data) => {
      await post("session", { token: data.get("token").trim() });
      app.is_signing_in = false;
      await look();
      follow();
      show();
    }, where, field("Token", token), h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Sign in"))), where,
    h("p", { class: "fine" }, "Who runs the service makes one with ", h("code", null, "perturb serve token add NAME --role operator"),
      ". A viewer watches and may halt, an operator starts runs, an admin changes playbooks as well.")));
  token.focus();
}

function signed_out() {
  sign_in(app.status ? "Your session is over: sign in again, and you are back where you were." : "This service asks who you are.");
}

// Where tokens are in use: who is signed in, and the way out.
async function show_who(status) {
  if (app.identity === status.identity) return;
  const session = await get("session", { timeout_ms: 5000 });
  app.identity = status.identity;
  who.hidden = !session.tokens;
  const trouble = h("span");
  fill(who, h("span", { class: "who-name" }, bdi(session.identity, 40), " \u00b7 ", session.role), act("Sign out", async () => {
    await call("DELETE", "session");
    sign_in("You are signed out.");
  }, trouble, { id: "sign-out" }), trouble);
}

// ---- what the service says of itself -------------------------------------------------------------------------------------------

function show_lever(status) {
  const is_engaged = status.lever === "engaged";
  if (lever.hidden === !is_engaged && lever.dataset.since === String(status.lever_since || "")) return;
  lever.hidden = !is_engaged;
  lever.dataset.since = String(status.lever_since || "");
  if (!is_engaged) return window.dispatchEvent(new Event("resumed"));
  const where = h("span");
  const resume = () => act("Resume", async () => {
    await post("resume", { reason: "asked on the page" });
    await look();
    document.getElementById("halt").focus();
  }, where, { id: "resume" });
  fill(lever, h("p", { role: "status" }, h("strong", null, "The safety lever is engaged."), " No fault acts; new runs and schedules are refused",
    status.lever_since ? [" since ", time(status.lever_since)] : null, status.lever_reason ? [": ", bdi(status.lever_reason)] : null, "."), may("operator") ? resume() : h("span", null, "An operator resumes."), where);
}

function show_link(state, text) {
  link.dataset.state = state;
  say(link, text);
}

async function look() {
  if (app.is_signing_in) return;
  try {
    const before = JSON.stringify(app.status?.runs_live);
    const role = app.status?.role;
    app.status = await get("status", { timeout_ms: 5000 });
    set_role(app.status.role);
    show_lever(app.status);
    await show_who(app.status);
    if (link.dataset.state !== "live") show_link("live", "live");
    fill(document.getElementById("foot"), "perturb " + (app.status.version || ""), who.hidden ? " \u00b7 everybody of this machine may do everything (no token is set)" : null,
      app.status.scheduler === "paused" ? " \u00b7 schedules paused" : null,
      (app.status.problems || []).map((text) => h("span", { class: "bad" }, " \u00b7 ", bdi(text))));
    if (app.current && role !== app.status.role) show(true); // what the view leaves out has changed
    else if (before !== undefined && before !== JSON.stringify(app.status.runs_live)) changed();
  } catch (error) {
    if (!app.is_signing_in) show_link("lost", "reconnecting");
  }
}

let soon = null;
function look_soon() {
  clearTimeout(soon);
  soon = setTimeout(() => { look(); changed(); }, 150);
}

function follow() {
  app.stream?.close();
  app.stream = new Stream("/api/v1/events", look_soon, (state) => {
    if (state === "live") look_soon();
    if (state === "reconnecting") show_link("lost", "reconnecting");
  });
}

window.addEventListener("hashchange", () => { if (!app.is_signing_in) show(); });
window.addEventListener("signed-out", signed_out);
window.addEventListener("halt-asked", () => {
  pause_all(true);
  setTimeout(() => pause_all(false), HALT_PAUSE_MS);
});
window.addEventListener("halt-done", () => { pause_all(false); look_soon(); });
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(() => { if (document.visibilityState === "visible") look(); }, STATUS_MS);

await look();
if (!app.is_signing_in) {
  show();
  follow();
}
