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

// What has not let go yet, in words; null when nothing is left.
function left(halted) {
  const parts = [[halted.runs_left, "run"], [halted.proxies_left, "proxy"]].filter(([many]) => many > 0).map(([many, what]) => many + " " + what + (many > 1 ? "s" : ""));
  return parts.length ? parts.join(" and ") + " did not let go in time (the lease ends it, or \u201cperturb panic\u201d on the host)" : null;
}

async function ask() {
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), WAIT_MS);
  try {
    const response = await fetch("/api/v1/halt", {
      method: "POST", headers: { "X-Perturb": "1", "Content-Type": "application/json" }, body: "{\"reason\":\"asked on the page\"}", credentials: "same-origin",
      keepalive: true, signal: end.signal
    });
    if (response.ok) return left(await response.json().catch(() => ({})));
    if (response.status === 401) return "you are not signed in";
    return "the service answered " + response.status;
  } catch (error) {
    return "the service does not answer";
  } finally {
    clearTimeout(timer);
  }
}

let is_asking = false;

async function halt() {
  if (is_asking) return;
  is_asking = true;
  button.setAttribute("aria-busy", "true");
  show("busy", "Halting\u2026");
  window.dispatchEvent(new CustomEvent("halt-asked")); // the streams make room
  const began = performance.now();
  for (;;) {
    const why = await ask();
    if (!why) break;
    show("failed", "Not halted yet: " + why + ". Asking again. On the host, \u201cperturb halt\u201d does the same without the service.");
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  show("done", "Halted after " + ((performance.now() - began) / 1000).toFixed(2) + " s: every fault is released, new runs are refused.");
  is_asking = false;
  button.removeAttribute("aria-busy");
  window.dispatchEvent(new CustomEvent("halt-done"));
}

button.addEventListener("click", halt);
window.addEventListener("resumed", () => { state.hidden = true; });
