# `perturb serve` as a test meets it: started, asked over its API, killed, started again; its database read from outside.
import atexit, json, os, re, shutil, signal, socket, sqlite3, subprocess, sys, tempfile, time, urllib.error, urllib.request

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
points = []

# A run of some seconds with every part that a run has, on processes of its own.
QUICK = """perturb: 1
title: a store behind a slow wire
service: shop
tags: [weekly]
warmup: 0s
lease: 1s
vars: {latency: 20ms, length: 1s, observe: 1s}
targets:
  store:
    command: ["%s/sample-store", --port, "${port.store}"]
    ready: {tcp: "127.0.0.1:${port.store}"}
proxies:
  store: {listen: "127.0.0.1:0", upstream: "127.0.0.1:${port.store}"}
load:
  main: {resp: {url: "redis://${proxies.store.listen}"}, rate: 50/s}
steady-state-hypothesis:
  - {signal: main.goodput, min: 1%%}
method:
  - {fault: latency, proxy: store, latency: "${vars.latency}", for: "${vars.length}"}
expect:
  convergence: {band: 90%%, hold: 100ms, bin: 5ms}
observe: "${vars.observe}"
""" % BUILD

# One that is refused before anything starts: it takes a moment only.
REFUSED = QUICK.replace("%s/sample-store" % BUILD, "/nonexistent/program").replace("service: shop", "service: nowhere")


def point(name, good, detail=""):
    points.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(points)} - {name}", flush=True)
    if not good and detail != "":
        print("\n".join("# " + line for line in str(detail).splitlines()), flush=True)


def skip(name, reason):
    points.append(True)
    print(f"ok {len(points)} - {name} # SKIP {reason}", flush=True)


def until(look, seconds=10):
    deadline = time.monotonic() + seconds * SCALE
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def start_time(pid):
    try:
        return int(read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[19])
    except (IndexError, ValueError):
        return None


def alive(pid):
    try:
        return read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] not in "ZX"
    except IndexError:
        return False


def marked(run):
    """Living processes that a run started, by the mark in their environment."""
    mark, found = f"PERTURB_RUN={run}".encode(), []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if mark in file.read().split(b"\0") and alive(entry):
                        found.append(int(entry))
            except OSError:
                pass
    return found


class Service:
    def __init__(self, name, settings=""):
        self.base = tempfile.mkdtemp(prefix=name + "-")
        self.registry = os.path.join(self.base, "registry")
        self.data = os.path.join(self.base, "data")
        self.output = os.path.join(self.base, "output")
        os.mkdir(self.registry, 0o700)
        os.makedirs(os.path.join(self.data, "playbooks"), 0o700)
        self.environment = dict(os.environ, PERTURB_REGISTRY=self.registry, TZ="America/St_Johns")
        self.process, self.url = None, None
        self.write("playbooks/quick.yaml", QUICK)
        self.write("playbooks/refused.yaml", REFUSED)
        self.write("serve.yaml", settings)
        atexit.register(self.leave)

    def leave(self):
        """Whatever happened to the test, nothing of it stays."""
        if self.process and self.process.poll() is None:
            self.stop()

    def write(self, name, text):
        with open(os.path.join(self.data, name), "w") as file:
            file.write(text)

    def start(self, *words, **environment):
        """Starts it and waits until it answers; False when it ended instead."""
        self.log = open(self.output, "ab")
        begin = os.path.getsize(self.output)
        self.process = subprocess.Popen([PERTURB, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *words], stdout=self.log, stderr=self.log,
                                        env=dict(self.environment, **environment))
        self.log.close()

        def told():
            said = read(self.output)[begin:]
            found = re.search(r"perturb serves at (\S+)", said)
            return found or self.process.poll() is not None
        until(told, 20)
        found = re.search(r"perturb serves at (\S+)", read(self.output)[begin:])
        self.url = found.group(1) if found else None
        return bool(found)

    def said(self):
        return read(self.output)

    def refused(self, *words):
        """It is expected not to start: its exit status and what it said."""
        done = subprocess.run([PERTURB, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *words], capture_output=True, text=True,
                              env=self.environment, timeout=60 * SCALE)
        return done.returncode, done.stderr

    def perturb(self, *words):
        return subprocess.run([PERTURB, *words], capture_output=True, text=True, env=self.environment, timeout=60 * SCALE)

    def ask(self, method, path, body=None):
        """(status, JSON)"""
        request = urllib.request.Request(self.url + "/api/v1" + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json", "X-Perturb": "1"})
        try:
            with urllib.request.urlopen(request, timeout=30 * SCALE) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def query(self, sql, *values):
        database = sqlite3.connect(f"file:{self.data}/service.db?mode=ro", uri=True, timeout=5)
        try:
            return database.execute(sql, values).fetchall()
        finally:
            database.close()

    def change(self, sql, *values):
        database = sqlite3.connect(f"{self.data}/service.db", timeout=5)
        database.execute(sql, values)
        database.commit()
        database.close()

    def order(self, run):
        rows = self.query("SELECT state, outcome, status, reason, undo, process, batch FROM run_order WHERE id = ?", run)
        return dict(zip(("state", "outcome", "status", "reason", "undo", "process", "batch"), rows[0])) if rows else {}

    def ended(self, run, seconds=60):
        until(lambda: self.order(run).get("state") == "ended", seconds)
        return self.order(run)

    def running(self, run, seconds=20):
        """The pid of the run's guardian, once it is registered."""
        until(lambda: os.path.exists(f"{self.registry}/runs/{run}"), seconds)
        found = re.match(r"guardian (\d+):", read(f"{self.registry}/runs/{run}"))
        return int(found.group(1)) if found else 0

    def armed(self, run, seconds=30):
        return until(lambda: '"fault_armed"' in read(f"{self.data}/runs/{run}/events.jsonl"), seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM: its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120 * SCALE)

    def remove(self):
        if self.process and self.process.poll() is None and (status := self.stop()) != 0:
            point("the service ends well", False, status)
        if re.search(r"Sanitizer|runtime error", self.said()):
            point("no sanitizer found anything", False, self.said()[-3000:])
        if all(points):
            shutil.rmtree(self.base, ignore_errors=True)
        else:
            print(f"# kept: {self.base}\n" + "\n".join("# | " + line for line in self.said().splitlines()[-30:]))


def finish():
    print(f"1..{len(points)}")
    sys.exit(0 if all(points) else 1)
