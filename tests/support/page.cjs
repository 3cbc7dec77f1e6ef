"use strict";
// For the tests of the web page: `perturb serve` on a free port with a state of its own, Debian's chromium by npm's playwright-core, and
// runs that the test writes itself, line by line, as a runner would. MODULES: where npm put its packages; BUILD: the programs.
const { spawn, execFileSync } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require(path.join(process.env.MODULES, "playwright-core"));

const limit = 2 * Number(process.env.PERTURB_TEST_TIMEOUT_MS ?? 10000);
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const HOSTILE = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>\u202e\u0007\"'&amp;";

// A store behind a proxy, with a fault that lasts until somebody ends it.
const SHOP = `perturb: 1
title: The shop is slow for a while
service: shop
rigour: quick
warmup: 0s
vars: {slow: 200ms}
targets:
  store: {command: ["${process.env.BUILD}/sample-store", --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
proxies:
  store: {upstream: "127.0.0.1:\${port.store}"}
load:
  main: {resp: {url: "redis://\${proxies.store.listen}"}, rate: 200/s}
steady-state-hypothesis:
  - {signal: main.goodput, min: 20%}
method:
  - {fault: latency, proxy: store, latency: "\${vars.slow}", at: 0s, for: 60s}
expect:
  convergence: {band: 90%, hold: 200ms, bin: 5ms}
guards:
  - {signal: main.errors, above: 99%, for: 30s, then: abort}
observe: 1s
`;

async function until(what, ask) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

class Service {
  static async start(playbooks = {}) {
    const service = new Service();
    service.home = fs.mkdtempSync(path.join(process.env.TMPDIR || os.tmpdir(), "page-"));
    service.playbooks = path.join(service.home, "playbooks");
    fs.mkdirSync(service.playbooks);
    for (const [name, text] of Object.entries(playbooks)) fs.writeFileSync(path.join(service.playbooks, name), text);
    fs.mkdirSync(path.join(service.home, "registry"), { mode: 0o700 });
    service.env = { ...process.env, XDG_STATE_HOME: path.join(service.home, "state"), PERTURB_REGISTRY: path.join(service.home, "registry") };
    await service.run("127.0.0.1:0");
    return service;
  }

  async run(listen) {
    const words = ["serve", "--listen", listen, "--data", path.join(this.home, "data"), "--playbooks", this.playbooks];
    this.log = "";
    this.child = spawn(path.join(process.env.BUILD, "perturb"), words, { stdio: ["ignore", "pipe", "pipe"], env: this.env });
    this.child.stdout.on("data", (bytes) => { this.log += bytes; });
    this.child.stderr.on("data", (bytes) => { this.log += bytes; });
    this.base = await until("the service listens", () => {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}: ${this.log}`);
      return /perturb serves at (https?:\/\/\S+)/.exec(this.log)?.[1].replace(/\/$/, "");
    });
  }

  async stop(signal = "SIGTERM") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    await ended;
  }

  async api(method, where, body) {
    const response = await fetch(this.base + "/api/v1" + where, { method, signal: AbortSignal.timeout(limit), headers: { "X-Perturb": "1", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, body: text && response.headers.get("content-type").includes("json") ? JSON.parse(text) : text };
  }

  events(run) {
    const text = fs.readFileSync(path.join(this.home, "data", "runs", run, "events.jsonl"), "utf8");
    return text.trim().split("\n").map((line) => JSON.parse(line));
  }

  // What `perturb serve token WORDS` says.
  tokens(...words) {
    return execFileSync(path.join(process.env.BUILD, "perturb"), ["serve", "token", ...words, "--data", path.join(this.home, "data")], { encoding: "utf8", env: this.env });
  }

  sql(statement) {
    return execFileSync("sqlite3", [path.join(this.home, "data", "history.db"), statement], { encoding: "utf8" });
  }
}

const quote = (value) => (value === null ? "NULL" : typeof value === "number" ? String(value) : "'" + String(value).replaceAll("'", "''") + "'");

// A row of the history; of a run that ended unless `verdict` is "running".
function add_run(service, row) {
  const all = { playbook: "page.yaml", title: "t", service: "shop", rigour: "full", seed: "1", started: "2026-11-01T09:30:00Z", verdict: "converged", status: 0,
    duration_s: 40, convergence_s: 3, convergence_low_s: 2.8, convergence_high_s: 3.2, loss_s: 1, pins_hash: "p", observed_s: 20, ...row };
  service.sql(`INSERT INTO run (${Object.keys(all).join(",")}) VALUES (${Object.values(all).map(quote).join(",")})`);
}

// This process, as the history names the runner of a run that lives.
function runner() {
  const start = fs.readFileSync("/proc/self/stat", "utf8").replace(/^.*\) /, "").split(" ")[19];
  return `${fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${process.pid} ${start}`;
}

// A run that lives as long as the test wants: its events and samples are what the test says.
class FakeRun {
  constructor(service, id, title) {
    this.directory = path.join(service.home, id);
    fs.mkdirSync(this.directory);
    this.id = id;
    this.zero = process.hrtime.bigint();
    this.event_seq = 0;
    this.sample_seq = 0;
    add_run(service, { id, title, directory: this.directory, verdict: "running", status: null, convergence_s: null, convergence_low_s: null, convergence_high_s: null,
      loss_s: null, duration_s: null, started: new Date().toISOString().replace(/\.\d+/, ""), runner: runner() });
    this.event("run_started", { run: id, playbook: "page.yaml", wall_ns: Date.now() * 1e6 });
    this.event("phase", { phase: "baseline" });
  }

  event(kind, fields, ns = process.hrtime.bigint()) {
    this.append("events.jsonl", { seq: ++this.event_seq, clock: "monotonic", ns: String(ns), source: "runner", epoch: 0, kind, fields });
  }

  line(bin, ns, name = "main", bin_s = 0.1) {
    const load = (shift) => ({ planned: 20, good: 18 + (bin + shift) % 3, failed: 2 - (bin + shift) % 3, p50_s: 0.004, p95_s: 0.02, p99_s: 0.05 + 0.04 * Math.sin(bin / 40 + shift) });
    return { seq: ++this.sample_seq, ns: String(ns), t_s: bin / 10, phase: "baseline", bin_s, signals: { [name + ".goodput"]: { value: 0.95 }, [name + ".p99"]: { value: 0.05 } },
      again: bin > 3 ? [{ t_s: (bin - 3) / 10, loads: { [name]: load(1) } }] : undefined, loads: { [name]: load(0), other: load(2) }, amplification: 1.1,
      guards: [{ guard: name + ".errors above 50%", value: 0.1, limit: 0.5, margin: 0.8, breached: false }], faults: [{ name: "latency", armed: true, matched: "10", fired: String(bin) }] };
  }

  // So many bins at once, as if they had passed before.
  past(bins) {
    this.zero -= BigInt(bins) * 100000000n;
    const lines = [];
    for (let bin = 0; bin < bins; bin++) lines.push(JSON.stringify(this.line(bin, this.zero + BigInt(bin + 1) * 100000000n)));
    fs.appendFileSync(path.join(this.directory, "live.jsonl"), lines.join("\n") + "\n");
    this.bin = bins;
  }

  append(file, object) {
    fs.appendFileSync(path.join(this.directory, file), JSON.stringify(object) + "\n");
  }
}

class Browser {
  static async start() {
    const browser = new Browser();
    const program = process.env.CHROMIUM || BROWSERS.find((one) => fs.existsSync(one));
    browser.chromium = await chromium.launch({ executablePath: program, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
    return browser;
  }

  // A page whose faults and refused loads are kept in `page.faults`.
  async open(url, options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light", ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(limit);
    page.faults = [];
    page.requests = [];
    page.on("pageerror", (error) => page.faults.push(String(error.stack || error)));
    page.on("console", (message) => { if (/Content Security Policy|TypeError|ReferenceError/.test(message.text())) page.faults.push(message.text()); });
    page.on("request", (request) => page.requests.push(request.url()));
    await page.goto(url);
    return page;
  }

  stop() {
    return this.chromium.close();
  }
}

module.exports = { Browser, FakeRun, HOSTILE, SHOP, Service, add_run, limit, until };
