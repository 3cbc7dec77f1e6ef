#!/usr/bin/env python3
# Outlets beside real runs: what each is told, in which shape and signed how; a real Alertmanager's silences and alerts; what is left when
# others are down, slow or somewhere they must not be; and that a killed teller loses nothing.
# beside: others
# time-limit: 240
import hashlib, hmac, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from outlet_kills import ordeal
from outlet_peers import SCALE, Alertmanager, Receiver, Wrong, check_metrics, check_trace, free_port, until

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
SECRETS = {"HOOK_KEY": "hook-key-5f1d", "CHAT_URL": "", "BOARD_TOKEN": "board-token-77ab"}
DECIDED = (0, 2)  # 2: this machine was too busy to keep the load's plan
TITLE = "A <store> & its \\\"shop\\\" *slow*"
RUN = """perturb: 1
title: "%s"
service: shop
tags: [outlets]
lease: 1s
warmup: 0s
targets:
  store: {command: [%s/sample-store, --port, "${port.store}"], ready: {tcp: "127.0.0.1:${port.store}"}}
proxies:
  store: {upstream: "127.0.0.1:${port.store}"}
load:
  main: {resp: {url: "redis://${proxies.store.listen}", timeout: 2s}, rate: 50/s}
%s
steady-state-hypothesis: [{signal: main.goodput, min: 20%%}]
method:
  - {fault: latency, name: slow, proxy: store, latency: 300ms, for: 1500ms}
expect: {convergence: {band: 50%%, hold: 200ms, bin: 10ms}}
observe: 1s
"""


class Scene:
    def __init__(self):
        self.work = tempfile.mkdtemp()
        self.number = self.failed = 0
        self.env = {**os.environ, **SECRETS, "XDG_STATE_HOME": self.work + "/state"}
        os.mkdir(self.work + "/state", 0o700)
        self.text = ""

    def point(self, name, good):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)
        if not good:
            print("\n".join("# " + line for line in self.text.splitlines()[-25:]), flush=True)

    def write(self, name, text):
        with open(f"{self.work}/{name}", "w") as f:
            f.write(text)
        return f"{self.work}/{name}"

    def playbook(self, name="run.yaml", more=""):
        return self.write(name, RUN % (TITLE, BUILD, more))

    def perturb(self, *words):
        done = subprocess.run([PERTURB, *words], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.text = done.stdout
        return done.returncode

    def begin(self, *words):
        return subprocess.Popen([PERTURB, *words], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def log(self, directory):
        try:
            with open(f"{self.work}/{directory}/outlets.log") as f:
                return f.read()
        except OSError:
            return ""

    def events(self, directory):
        try:
            with open(f"{self.work}/{directory}/events.jsonl") as f:
                return [json.loads(line) for line in f if line.endswith("\n")]
        except OSError:
            return []

    def result(self, directory):
        with open(f"{self.work}/{directory}/result.json") as f:
            return json.load(f)

    def waiting(self):
        return [os.path.join(top, f) for top, _, files in os.walk(self.work + "/state/perturb/outbox") for f in files if re.match(r"^[0-9]+-[0-9]+\.json$", f)]


def signed(headers, body):
    """By the standard library, over what arrived."""
    text = headers["X-Perturb-Timestamp"].encode() + b"." + body
    return headers["X-Perturb-Signature"] == "sha256=" + hmac.new(SECRETS["HOOK_KEY"].encode(), text, hashlib.sha256).hexdigest() and \
        abs(int(headers["X-Perturb-Timestamp"]) - time.time()) < 300


def attribute(span, key):
    return next((list(a["value"].values())[0] for a in span["attributes"] if a["key"] == key), None)


def all_told(scene, manager):
    """One run, everybody told."""
    peer = Receiver({"/chat": 2})
    SECRETS["CHAT_URL"] = scene.env["CHAT_URL"] = f"http://127.0.0.1:{peer.port}/chat/T000/path-secret-99"
    scene.write("token", SECRETS["BOARD_TOKEN"] + "\n")
    outlets = scene.write("outlets.yaml", f"""
outlets:
  hook:   {{kind: webhook, url: "http://127.0.0.1:{peer.port}/hook", secret-env: HOOK_KEY}}
  chat:   {{kind: slack, url-env: CHAT_URL, on: [injected, ended]}}
  boards: {{kind: grafana, url: "http://127.0.0.1:{peer.port}/", token-file: "{scene.work}/token", dashboard: shop-board, tags: [weekly]}}
  pager:  {{kind: alertmanager, url: "http://127.0.0.1:{manager.port}", silence: ["service=shop", "severity=~warn.*"], silence-for: 9s, alert: true}}
  traces: {{kind: otlp, url: "http://127.0.0.1:{peer.port}/otlp"}}
egress: {{loopback: all}}
""")
    manager.raise_alert("ShopSlow", service="shop", severity="warning")
    run = scene.begin("run", scene.playbook(), "--out", scene.work + "/told", "--outlets", outlets)
    silenced = until(lambda: manager.silences("active"), 15)
    suppressed = until(lambda: manager.alerts("ShopSlow")[0]["status"]["state"] == "suppressed", 10)
    live = run.poll() is None
    scene.text = run.communicate()[0] + scene.log("told")
    closed = not manager.silences("active")  # before it could have lapsed
    scene.point("the run comes to its end", run.returncode in DECIDED)
    after = until(lambda: manager.alerts("ShopSlow")[0]["status"]["state"] == "active", 10)
    scene.text += f"{bool(silenced)} {suppressed} {live} {after} {json.dumps(manager.ask('silences'))}"
    scene.point("its alerts are silenced while it lives, and not after", silenced and suppressed and live and closed and after and
                len(manager.silences("expired")) <= 2)

    hooks = peer.of("/hook")
    bodies = [json.loads(body) for _, _, _, body, _ in hooks]
    scene.text += json.dumps(bodies)
    result = scene.result("told")
    scene.point("webhook: each moment once, in order", [b["event"] for b in bodies] == ["started", "injected", "released", "ended"] and
                [h["X-Perturb-Event"] for _, _, h, _, _ in hooks] == [b["event"] for b in bodies] and
                len({h["X-Perturb-Delivery"] for _, _, h, _, _ in hooks}) == 4)
    scene.point("webhook: signed over time and body, as another implementation has it", all(signed(h, body) for _, _, h, body, _ in hooks))
    scene.point("webhook: the end says what the result says", bodies[-1]["verdict"]["verdict"] == result["verdict"]["verdict"] and
                bodies[-1]["verdict"]["status"] == result["verdict"]["status"] and bodies[-1]["convergence"]["from_release_s"] == result["convergence"]["from_release_s"] and
                bodies[-1]["run"]["title"] == TITLE.replace("\\", "") and bodies[2]["fault"]["fired"] == result["faults"][0]["fired"] > 0)

    tries, chats = peer.of("/chat", accepted=False), peer.of("/chat")
    texts = [json.loads(body)["text"] for _, _, _, body, _ in chats]
    scene.point("slack: refused twice, then accepted, nothing twice, the order kept", len(tries) == 4 and [t[4] for t in tries[:2]] == [True, True] and
                len(texts) == 2 and "injected slow" in texts[0] and result["verdict"]["verdict"] in texts[1])
    scene.point("slack: what could mark up is escaped", all("A &lt;store&gt; &amp; its" in t and "*slow*" not in t for t in texts))

    notes = peer.of("/api/annotations")
    begin, end, point = [json.loads(body) for _, _, _, body, _ in notes] if len(notes) == 3 else [{}] * 3
    opened = next((i + 1 for i, g in enumerate(peer.got) if g[1] == "/api/annotations"), 0)
    scene.point("grafana: a region opened and closed by its id, a point at the end", [(n[0], n[1]) for n in notes] ==
                [("POST", "/api/annotations"), ("PATCH", f"/api/annotations/{opened}"), ("POST", "/api/annotations")] and
                1.4 < (end["timeEnd"] - begin["time"]) / 1000 < 4 and end["time"] == begin["time"] and begin["dashboardUID"] == "shop-board" and
                set(begin["tags"]) == {"perturb", "fault", "shop", "weekly"} and point["time"] > end["timeEnd"] and
                all(h["Authorization"] == "Bearer " + SECRETS["BOARD_TOKEN"] for _, _, h, _, _ in notes))
    otlp(scene, peer, result)

    shown = scene.perturb("outlets", "check", outlets)
    scene.point("what is shown of them", shown == 0 and "signed" in scene.text and re.search(r"chat .*http://127\.0\.0\.1:\d+  on injected ended", scene.text) is not None
                and re.search(r"sent 2, put off 2, dropped 0, waiting 0", scene.text) is not None)
    places = [scene.text] + [open(os.path.join(top, f), errors="replace").read() for top, _, files in os.walk(scene.work + "/told") for f in files] + \
             [open(os.path.join(top, f), errors="replace").read() for top, _, files in os.walk(scene.work + "/state") for f in files if not f.startswith("history")]
    scene.point("no secret is anywhere", not any(word in text for text in places for word in ("hook-key-5f1d", "board-token-77ab", "path-secret-99")))
    scene.point("nothing waits", not scene.waiting())
    peer.close()


def otlp(scene, peer, result):
    try:
        final = [check_metrics(json.loads(body)) for _, _, h, body, _ in peer.of("/otlp/v1/metrics") if h["Content-Type"] == "application/json"]
        traces = [check_trace(json.loads(body)) for _, _, _, body, _ in peer.of("/otlp/v1/traces")]
    except Wrong as wrong:
        scene.text += f"\nOTLP: {wrong}"
        final, traces = [], []
    spans = {s["name"]: s for s in traces[0]} if traces else {}
    root = next((s for s in spans.values() if "parentSpanId" not in s), None)
    fault = spans.get("fault slow")
    scene.text += json.dumps([list(spans), final[-1:]])
    scene.point("otlp: one trace that keeps the rules: a root, its phases, the fault", len(traces) == 1 and root is not None and fault is not None and
                {"phase baseline", "phase inject", "phase release", "phase observe"} <= set(spans) and attribute(root, "perturb.run") == result["run"]["id"] and
                attribute(fault, "perturb.fired") == str(result["faults"][0]["fired"]) and [e["name"] for e in fault["events"]] == ["injected"] and
                root["status"]["code"] == (2 if result["verdict"]["status"] else 1) and "verdict" in [e["name"] for e in root["events"]] and
                1.4 < (int(fault["endTimeUnixNano"]) - int(fault["startTimeUnixNano"])) / 1e9 < 4 and
                all(int(root["startTimeUnixNano"]) <= int(s["startTimeUnixNano"]) and int(s["endTimeUnixNano"]) <= int(root["endTimeUnixNano"]) for s in spans.values()))
    load = result["loads"][0]
    scene.point("otlp: metrics while it lives and at its end", len(final) >= 2 and final[0]["perturb.run.active"][0][0] == 1 and
                final[-1]["perturb.run.active"][0][0] == 0 and sorted(final[-1]["perturb.requests"], key=str) ==
                sorted([(float(load["ok"]), {"load": "main", "outcome": "good"}), (float(load["failed"]), {"load": "main", "outcome": "failed"})], key=str) and
                any("perturb.goodput" in f for f in final[:-1]))


def alert_and_back(scene, manager):
    """A failed run raises an alert in the real one, a passing one of the same playbook ends it. Both are found in the outbox, their
    command long gone: only their files are there."""
    outlets = scene.write("pager.yaml", f"outlets: {{pager: {{kind: alertmanager, url: 'http://127.0.0.1:{manager.port}', alert: true}}}}\negress: {{loopback: all}}\n")

    def leave(run, verdict, status):
        directory, outbox = f"{scene.work}/{run}", f"{scene.work}/state/perturb/outbox/{run}"
        os.makedirs(directory, 0o700)
        os.makedirs(outbox, 0o700)
        with open(directory + "/events.jsonl", "w") as f:
            f.write('{"seq":1,"clock":"monotonic","ns":"%d","source":"runner","epoch":0,"kind":"run_started","fields":{"run":"%s"}}\n' % (time.monotonic_ns(), run))
        with open(directory + "/result.json", "w") as f:
            json.dump({"schema": 1, "run": {"id": run}, "verdict": {"verdict": verdict, "status": status, "why": "as a test has it"}}, f)
        with open(outbox + "/run.json", "w") as f:
            json.dump({"run": run, "directory": directory, "title": TITLE, "service": "shop", "playbook": "weekly/slow", "tags": [], "pid": 0,
                       "pid_start": "1", "wall_offset_ns": str(time.time_ns() - time.monotonic_ns())}, f)

    leave("20260101-000000-0001", "not_converged", 1)
    status = scene.perturb("outlets", "flush", outlets)
    raised = manager.alerts("PerturbRunFailed")
    scene.text += json.dumps(raised)
    scene.point("a failed run raises an alert", status == 0 and len(raised) == 1 and raised[0]["labels"] == {"alertname": "PerturbRunFailed",
                "playbook": "weekly/slow", "service": "shop", "severity": "warning"} and raised[0]["annotations"]["run"] == "20260101-000000-0001")
    leave("20260108-000000-0002", "indeterminate", 2)
    scene.perturb("outlets", "flush", outlets)
    scene.point("one that was not decided leaves it", len(manager.alerts("PerturbRunFailed")) == 1)
    leave("20260115-000000-0003", "converged", 0)
    status = scene.perturb("outlets", "flush", outlets)
    scene.point("a passing run of that playbook ends it", status == 0 and until(lambda: not manager.alerts("PerturbRunFailed"), 10))


def teller_of(run):
    """The process that tells a run, a child of its command."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            parent = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == run.pid and words[1:3] == ["outlets", "follow"]:
            return int(pid)
    return 0


def killed_teller(scene, manager):
    """The teller is killed in the middle: the silence ends by itself, the rest is told later under ids of its own."""
    peer = Receiver()
    outlets = scene.write("killed.yaml", f"""
outlets:
  hook:  {{kind: webhook, url: "http://127.0.0.1:{peer.port}/hook"}}
  pager: {{kind: alertmanager, url: "http://127.0.0.1:{manager.port}", silence: ["service=killed"], silence-for: 3s}}
egress: {{loopback: all}}
""")
    run = scene.begin("run", scene.playbook(), "--out", scene.work + "/killed", "--outlets", outlets)
    told = until(lambda: any(json.loads(b)["event"] == "injected" for _, _, _, b, _ in peer.of("/hook")) and
                 [s for s in manager.silences("active") if s["matchers"][0]["value"] == "killed"], 15)
    pid = teller_of(run)
    if pid:
        os.kill(pid, signal.SIGKILL)
    lapsed = until(lambda: not manager.silences("active"), 6)
    lived = run.poll() is None
    scene.text = run.communicate()[0] + scene.log("killed")
    scene.point("a killed teller: its silence ends by itself, the run goes on", bool(told) and pid > 0 and lapsed and lived and run.returncode in DECIDED)
    before = [json.loads(b)["event"] for _, _, _, b, _ in peer.of("/hook")]
    status = scene.perturb("outlets", "flush", outlets)
    events = [json.loads(b)["event"] for _, _, _, b, _ in peer.of("/hook")]
    ids = [h["X-Perturb-Delivery"] for _, _, h, _, _ in peer.of("/hook")]
    scene.text += f"{before} {events} {ids}"
    scene.point("what it had not told is told by the next, in order", status == 0 and "ended" not in before and list(dict.fromkeys(events)) ==
                ["started", "injected", "released", "ended"] and len(set(ids)) == 4 and not scene.waiting())
    peer.close()


def nobody_there(scene):
    """A dead, a mute and a forbidden outlet hold nothing up, and what waited is sent once somebody is there."""
    port = free_port()
    mute = socket.socket()
    mute.bind(("127.0.0.1", 0))
    mute.listen(8)
    outlets = scene.write("down.yaml", f"""
outlets:
  dead:   {{kind: webhook, url: "http://127.0.0.1:{port}/hook", on: [started, ended]}}
  mute:   {{kind: webhook, url: "http://127.0.0.1:{mute.getsockname()[1]}/", on: [started], timeout: 1s}}
  inside: {{kind: webhook, url: "http://169.254.169.254/latest/meta-data", on: [started]}}
egress: {{loopback: all, drain: 1s}}
""")
    started = time.monotonic()
    status = scene.perturb("run", scene.playbook(), "--out", scene.work + "/down", "--outlets", outlets)
    down_s = time.monotonic() - started
    run_s, told_s = scene.result("down")["run"]["duration_s"], scene.result("told")["run"]["duration_s"]
    scene.text += scene.log("down") + f" took {down_s:.1f} s, of which the run {run_s:.1f}; the one that was told everywhere {told_s:.1f}"
    scene.point("outlets that are down hold no run up", status in DECIDED and run_s < told_s + 2 * SCALE and down_s < run_s + 5 * SCALE and
                "3 deliveries to outlets could not be made yet" in scene.text)
    scene.point("a metadata service is refused at the connect", "inside: " in scene.log("down") and "link-local" in scene.log("down") and "is dropped" in scene.log("down"))
    mute.close()
    peer = Receiver(port=port)
    scene.write("down.yaml", open(outlets).read().replace(f":{mute_port(outlets)}/", f":{port}/mute"))
    scene.perturb("outlets", "flush", outlets)
    scene.point("what waited is sent once somebody listens", until(lambda: not scene.waiting() or scene.perturb("outlets", "flush", outlets) is None, 20) and
                [json.loads(b)["event"] for _, _, _, b, _ in peer.of("/hook")] == ["started", "ended"] and len(peer.of("/mute")) == 1)
    peer.close()


def killed_often(scene):
    """A slice of prove/test_outlet_kills.py."""
    seed = time.time_ns() & 0xffffffff
    hits, wrong = ordeal(PERTURB, scene.work, scene.env, 20, seed)
    scene.text = f"seed {seed}, {hits} kills: {wrong}"
    scene.point("a teller that is killed at random loses nothing", hits >= 20 and not wrong)


def alerts_in(scene, manager):
    """Alerts of the real one as a guard's signal and as the instant of detection; silenced ones and others do not count."""
    more = f"""probes:
  alerts: {{alertmanager: {{url: "http://127.0.0.1:{manager.port}/", match: ["service=seen", "severity=~pa.e"], detects: true}}, every: 100ms}}
  others: {{alertmanager: {{url: "http://127.0.0.1:{manager.port}", match: ['service=a"b']}}, every: 100ms}}
guards: [{{signal: alerts.last, above: "0", for: 300ms, every: 100ms, then: [release]}}]"""
    playbook = scene.playbook("alerts.yaml", more)
    with open(playbook) as f:
        text = f.read()
    scene.write("alerts.yaml", text.replace("for: 1500ms", "for: 6s"))
    manager.raise_alert("NotPaged", service="seen", severity="warning")
    run = scene.begin("run", playbook, "--out", scene.work + "/alerts")
    until(lambda: any(e["kind"] == "fault_acted" for e in scene.events("alerts")), 20)
    manager.raise_alert("Slow", service="seen", severity="page")
    raised_ns = time.monotonic_ns()
    scene.text = run.communicate()[0]
    result = scene.result("alerts")
    detected = result["instants_s"]["detected"]
    at_s = (raised_ns - int(result["run"]["zero_ns"])) / 1e9
    marks = [e["fields"] for e in scene.events("alerts") if e["kind"] == "mark"]
    scene.text += json.dumps([result["probes"], result["guards"], result["instants_s"], marks, at_s, result.get("timers")])
    scene.point("an alert is the instant of detection, by the clock of whoever raised it", detected is not None and -0.15 < detected - at_s < 0.6 * SCALE and
                marks == [{"mark": "detected", "text": "alerts"}] and result["marks"][0]["by"] == "alertmanager" and not any(p["failed"] for p in result["probes"]))
    released = result["faults"][0]["released_s"] - result["faults"][0]["armed_s"]
    scene.point("and a guard that releases the fault", result["guards"][0]["breached"] and released < 5)
    again = scene.perturb("run", playbook, "--out", scene.work + "/again")
    scene.point("one that fired before says nothing of this fault", again in (0, 1, 2) and scene.result("again")["instants_s"]["detected"] is None)


def mute_port(path):
    return re.search(r"mute: .*?127\.0\.0\.1:(\d+)/", open(path).read()).group(1)


def forbidden(scene):
    """Captures and probes of a run with outlets go where `egress` lets them."""
    peer = Receiver()
    more = f"""probes:
  page: {{http: {{url: "http://127.0.0.1:{peer.port}/page", field: status}}, every: 200ms}}
captures:
  page: {{url: "http://localhost:{peer.port}/capture", when: [before]}}"""
    closed = scene.write("closed.yaml", "egress: {loopback: none}\n")
    status = scene.perturb("run", scene.playbook("probed.yaml", more), "--out", scene.work + "/closed", "--outlets", closed)
    result = scene.result("closed")
    scene.text += json.dumps([result["probes"], result["captures"]])
    scene.point("probes and captures: refused where egress says so, by name and by address", status in DECIDED and not peer.got and
                "the loopback: `egress`" in result["probes"][0]["last_failure"] and "the loopback: `egress`" in result["captures"][0]["outcome"])
    opened = scene.write("open.yaml", "egress: {loopback: none, allow: [127.0.0.0/8, '::1']}\n")
    status = scene.perturb("run", scene.playbook("probed.yaml", more), "--out", scene.work + "/open", "--outlets", opened)
    scene.point("and let through where it allows", status in DECIDED and peer.of("/page") and peer.of("/capture"))
    peer.close()


class Prometheus:
    def __init__(self, work, target):
        self.port = free_port()
        with open(work + "/prometheus.yml", "w") as f:
            f.write("scrape_configs: [{job_name: perturb, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: ['%s']}]}]\n" % target)
        self.process = subprocess.Popen(["prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/tsdb", f"--web.listen-address=127.0.0.1:{self.port}"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, query):
        """The series of an instant query; None where it is refused or nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": query}), timeout=5 * SCALE) as answer:
                return [(r["metric"], float(r["value"][1])) for r in json.load(answer)["data"]["result"]]
        except (OSError, KeyError, ValueError):
            return None

    def close(self):
        self.process.terminate()
        self.process.wait()


def exposition(text):
    """promtool's findings; "" for none."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout + ("" if done.returncode == 0 else f" status {done.returncode}")


def scraped(scene):
    """The service as a real Prometheus scrapes it, at rest and while a run goes on; the dashboard's queries over what it has."""
    data, port = scene.work + "/data", free_port()
    os.makedirs(data + "/playbooks", 0o700)
    shutil.copy(scene.playbook(), data + "/playbooks/run.yaml")
    scene.write("data/serve.yaml", "outlets: {nobody: {kind: webhook, url: 'http://127.0.0.1:9/', on: [failed]}}\n")
    scene.env["PERTURB_STATE"] = data
    service = scene.begin("serve", "--data", data, "--listen", f"127.0.0.1:{port}")

    def page():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5 * SCALE) as answer:
                return answer.headers["Content-Type"], answer.read().decode()
        except OSError:
            return "", ""

    until(lambda: page()[1], 20)
    prometheus = Prometheus(scene.work, f"127.0.0.1:{port}")
    until(lambda: prometheus.ask("up == 1"), 20)
    type, rest = page()
    run = scene.begin("run", data + "/playbooks/run.yaml", "--outlets", data + "/serve.yaml")
    until(lambda: 'phase="inject"' in page()[1] and "perturb_run_faults_armed{" in page()[1], 20)
    live = page()[1]
    scraped_live = until(lambda: prometheus.ask('max_over_time(perturb_run_faults_armed{playbook="run.yaml"}[1m]) == 1'), 20)
    scene.text = run.communicate()[0] + rest + live + exposition(rest) + exposition(live)
    scene.point("/metrics keeps the rules of the exposition, at rest and live", type.startswith("text/plain; version=0.0.4") and exposition(rest) == exposition(live) == "" and
                'load="main"' in live and live.count("perturb_run_info{") == 1)
    ended = until(lambda: prometheus.ask('sum(perturb_runs_total{playbook="run.yaml",service="shop"}) == 1'), 20)
    scene.text += f"\n{scraped_live} {ended} {prometheus.ask('up')} {prometheus.ask('perturb_runs_total')}"
    scene.point("a real Prometheus scrapes it, live and afterwards", scraped_live and ended and prometheus.ask("up") and prometheus.ask("up")[0][1] == 1)
    with open("docs/grafana-dashboard.json") as f:
        queries = [t["expr"].replace("$playbook", ".*") for p in json.load(f)["panels"] for t in p["targets"]]
    with open("controller/outlet/metrics.def") as f:
        known = set(re.findall(r'METRIC\(\w+, "(\w+)"', f.read()))
    wrong = [q for q in queries if prometheus.ask(q) is None or not set(re.findall(r"perturb_(\w+)", q)) <= known]
    asked = [q for q in queries if not re.search("perturb_(run_|schedule_|loss|conv|last_success)", q)]
    until(lambda: all(prometheus.ask(q) for q in asked), 10)  # a rate takes two scrapes
    empty = [q for q in asked if not prometheus.ask(q)]
    with open("docs/ecosystem.md") as f:
        text = f.read()
    undocumented = [name for name in known if f"`perturb_{name}`" not in text]
    scene.text += f"wrong: {wrong} empty: {empty} undocumented: {undocumented}"
    scene.point("the dashboard asks for what there is, and all of it is documented", len(queries) > 15 and not wrong and not empty and not undocumented)
    prometheus.close()
    service.terminate()
    scene.text = service.communicate()[0]
    scene.point("the service ends", service.returncode == 0)
    del scene.env["PERTURB_STATE"]


def refused(scene):
    """Bad configurations: every error, each with its place."""
    bad = scene.write("bad.yaml", """outlets:
  a: {kind: slack}
  b: {kind: webhook, url: "ftp://x/"}
  c: {kind: webhok, url: "http://x/"}
  d: {kind: webhook, url: "http://x/", secret-env: NOT_THERE}
  e: {kind: grafana, url: "http://x/", on: [ended]}
  f: {kind: alertmanager, url: "http://x/", silence: ["7=x"]}
  g: {kind: webhook, url: "http://x/", on: [finished], colour: red}
egress: {allow: [everything]}
""")
    status = scene.perturb("outlets", "check", bad)
    wanted = [r"bad.yaml:2:\d+: outlet 'a': needs one of url", r"bad.yaml:3:\d+: outlet 'b': its URL is no http", r"bad.yaml:4:\d+: .*webhok", r"bad.yaml:5:\d+: .*'NOT_THERE'",
              r"bad.yaml:6:\d+: .*'on' is for", r"bad.yaml:7:\d+: .*silence: found '7=x'", r"bad.yaml:8:\d+: .*'colour'", r"bad.yaml:9:\d+: allow: found 'everything'"]
    missing = [w for w in wanted if not re.search(w, scene.text)]
    scene.text += f"\nmissing: {missing}"
    scene.point("a bad file: each error with its place", status == 65 and not missing)
    status = scene.perturb("run", scene.playbook(), "--out", scene.work + "/bad", "--outlets", bad)
    scene.point("and nothing is run with it", status == 65 and not os.path.exists(scene.work + "/bad"))


def main():
    scene = Scene()
    print("1..33", flush=True)
    manager = Alertmanager(scene.work)
    try:
        all_told(scene, manager)
        alert_and_back(scene, manager)
        killed_teller(scene, manager)
        killed_often(scene)
        alerts_in(scene, manager)
        nobody_there(scene)
        forbidden(scene)
        refused(scene)
        scraped(scene)
    finally:
        manager.close()
    if not scene.failed:
        shutil.rmtree(scene.work)
    return 1 if scene.failed else 0


sys.exit(main())
