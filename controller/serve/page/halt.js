// The button that stops everything. It stands alone: it needs neither the rest of the page, nor a stream, nor an answer in time, and it
// asks again until the service has confirmed. Halting twice does no harm.

const button = document.getElementById("halt");
const state = document.getElementById("halt-state");
const WAIT_MS = 3000;
const AGAIN_MS = 250;

function show(kind, text) {
  state.hidden = false;
  state.className = "halt-state " + kind;
  state.textContent = text;
}

async function ask() {
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), WAIT_MS);
  try {
    const response = await fetch("/api/v1/halt", {
      method: "POST", headers: { "X-Perturb": "1", "Content-Type": "application/json" }, body: "{\"reason\":\"asked on the page\"}", credentials: "same-origin",
      keepalive: true, signal: end.signal
    });
    if (response.ok) return { told: await response.json().catch(() => ({})) };
    if (response.status === 401) return { why: "sign in first" };
    return { why: "the service answered " + response.status };
  } catch (error) {
    return { why: "the service does not answer" };
  } finally {
    clearTimeout(timer);
  }
}

let is_asking = false;

function confirm(told, began) {
  const parts = [[told.runs_left, "run is", "runs are"], [told.proxies_left, "proxy is", "proxies are"]].filter(([many]) => many > 0).map(([many, one, more]) => many + " " + (many > 1 ? more : one) + " still ending");
  show("done", "Halted after " + ((performance.now() - began) / 1000).toFixed(2) + " s: faults are released, new runs are refused." + (parts.length ? " " + parts.join(", ") + "." : ""));
}

async function halt() {
  if (is_asking) return;
  is_asking = true;
  button.setAttribute("aria-busy", "true");
  show("busy", "Halting\u2026");
  window.dispatchEvent(new CustomEvent("halt-asked")); // the streams make room
  const began = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer.told) {
      confirm(answer.told, began);
      break;
    }
    show("failed", "Not halted yet: " + answer.why + ". Asking again. On the host, \u201cperturb halt\u201d does the same without the service.");
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  is_asking = false;
  button.removeAttribute("aria-busy");
  window.dispatchEvent(new CustomEvent("halt-done"));
}

button.addEventListener("click", halt);
window.addEventListener("resumed", () => { state.hidden = true; });
