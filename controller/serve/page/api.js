// The one place that talks to the API: problem+json becomes a Problem, unsafe calls carry what keeps other sites from making them.

import { clean } from "/format.js";

const BASE = "/api/v1";

export class Problem extends Error {
  constructor(status, title, detail, errors) {
    super(detail || title || "HTTP " + status);
    this.status = status;
    this.title = title;
    this.errors = Array.isArray(errors) ? errors : [];
  }
}

export function path(...parts) {
  return BASE + "/" + parts.map((part) => encodeURIComponent(part)).join("/");
}

function key() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function problem_of(response) {
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    body = null; // not ours: a proxy between, or an end in the middle
  }
  const said = body && typeof body === "object" ? body : {};
  return new Problem(response.status, clean(said.title || response.statusText, 200), clean(said.detail, 1000), said.errors);
}

// What never got an answer is a Problem of status 0.
async function reach(url, init) {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer", error.name === "TimeoutError" ? "It took too long." : "Is it running, and is the network there?");
  }
}

// options: { query, body, signal, timeout_ms, once (an idempotency key is sent), headers }
export async function call(method, where, options = {}) {
  const url = new URL(where.startsWith("/") ? where : BASE + "/" + where, location.origin);
  const headers = { Accept: "application/json, application/problem+json", ...options.headers };
  const ends = [AbortSignal.timeout(options.timeout_ms || 15000)];
  if (options.signal) ends.push(options.signal);
  for (const [name, value] of Object.entries(options.query || {}))
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  if (method !== "GET") headers["X-Perturb"] = "1";
  if (options.once) headers["Idempotency-Key"] = key();
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const response = await reach(url, {
    method, headers, credentials: "same-origin", redirect: "error", keepalive: Boolean(options.keepalive),
    signal: AbortSignal.any ? AbortSignal.any(ends) : options.signal || ends[0],
    body: options.body === undefined ? undefined : JSON.stringify(options.body)
  });
  if (!response.ok) {
    if (response.status === 401) window.dispatchEvent(new Event("signed-out"));
    throw await problem_of(response);
  }
  const kind = response.headers.get("Content-Type") || "";
  if (response.status === 204) return null;
  return kind.includes("json") ? response.json() : response.text();
}

export const get = (where, options) => call("GET", where, options);
export const post = (where, body, options) => call("POST", where, { body, ...options }); // no body: undefined

// All pages of a list, up to `most` items.
export async function list(where, query = {}, most = 200, signal = undefined) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(where, { query: { limit: Math.min(most, 200), ...query, cursor }, signal });
    items.push(...(page.items || []));
    cursor = page.next;
  } while (cursor && items.length < most);
  return { items: items.slice(0, most), more: Boolean(cursor) };
}
