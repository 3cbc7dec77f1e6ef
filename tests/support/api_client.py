# A `perturb serve` of the test's own on a free port, and a client of its API that says exactly what it sends.
import http.client, json, os, re, signal, sqlite3, ssl, subprocess, tempfile

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
SCALE = max(1.0, float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", 10000)) / 10000)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None


class Service:
    def __init__(self, *options, data=None, playbooks=None, cafile=None):
        self.base = data or tempfile.mkdtemp(prefix="api-")
        self.data = os.path.join(self.base, "data")
        self.playbooks = playbooks or os.path.join(self.base, "playbooks")
        os.makedirs(self.playbooks, exist_ok=True)
        os.makedirs(os.path.join(self.base, "registry"), mode=0o700, exist_ok=True)
        self.env = dict(os.environ, PERTURB_REGISTRY=self.base + "/registry", XDG_STATE_HOME=self.base + "/state")
        self.options = list(options)
        self.cafile = cafile
        self.process = None
        self.start()

    def start(self, listen="127.0.0.1:0"):
        command = [PERTURB, "serve", "--listen", listen, "--data", self.data, "--playbooks", self.playbooks] + self.options
        with open(self.base + "/said", "a") as said:
            self.process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=said, text=True)
        line = self.process.stdout.readline()
        if "serves at" not in line:
            raise RuntimeError("the service does not start: " + line + self.said())
        self.url = line.split()[-1]
        self.host = self.url.split("//")[-1]

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30 * SCALE)
        self.process.stdout.close()
        if re.search(r"Sanitizer|runtime error", self.said()):
            raise RuntimeError("a sanitizer found something: " + self.said()[-3000:])
        return self.process.returncode

    def said(self):
        with open(self.base + "/said", errors="replace") as said:
            return said.read()

    def connect(self):
        timeout = 15 * SCALE
        if self.url.startswith("https"):
            return http.client.HTTPSConnection(self.host, timeout=timeout, context=ssl.create_default_context(cafile=self.cafile))
        return http.client.HTTPConnection(self.host, timeout=timeout)

    def ask(self, method, path, body=None, connection=None, **headers):
        """Headers with '_' for '-'; a body that is no bytes goes as JSON."""
        own = connection or self.connect()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        own.request(method, path, body, headers)
        reply = own.getresponse()
        answer = Answer(reply.status, reply.headers, reply.read())
        if not connection:
            own.close()
        return answer

    def command(self, *words):
        """`perturb serve WORD...` beside the service."""
        return subprocess.run([PERTURB, "serve", *words, "--data", self.data], env=self.env, capture_output=True, text=True, timeout=30 * SCALE)

    def token(self, name, role, *more):
        return self.command("token", "add", name, "--role", role, *more).stdout.strip()

    def add_runs(self, first, count, playbook="made.yaml", full=True):
        """Rows of the history as runs would leave them, one a minute."""
        rows = [("%08d-%06d-test" % (20260000 + i // 1000, i % 1000), playbook, "A made run", "shop", "full" if full else "quick", str(i),
                 "2026-%02d-%02dT%02d:%02d:%02dZ" % (1 + i // 40000, 1 + i // 1440 % 28, i // 60 % 24, i % 60, 0), "converged", 0, 30.0,
                 2.0 + i % 7 / 10, 1.5, 3.0, 0.5, "/nowhere", "pins", playbook, None, 20.0) for i in range(first, first + count)]
        with sqlite3.connect(self.data + "/history.db", timeout=10) as db:
            db.executemany("INSERT INTO run (id, playbook, title, service, rigour, seed, started, verdict, status, duration_s, convergence_s,"
                           " convergence_low_s, convergence_high_s, loss_s, directory, pins_hash, series, batch, observed_s)"
                           " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        db.close()
        return [row[0] for row in rows]


class Tap:
    def __init__(self):
        self.count, self.failed = 0, 0

    def point(self, name, problem=None):
        """`problem` is falsy when all is well; else what is wrong."""
        self.count += 1
        print(("not ok " if problem else "ok ") + str(self.count) + " - " + name, flush=True)
        if problem:
            self.failed += 1
            print("# " + str(problem)[:1500].replace("\n", "\n# "), flush=True)

    def finish(self):
        print("1..%d" % self.count)
        return 1 if self.failed else 0
