# The service is killed at random instants while it starts runs, supervises them and records their ends; sometimes parts of the run die with it.
# It is started again each time. Judged from outside:
#   no fault is left a lease later, or, where what has to be undone lost its undoer, once the next service has run;
#   the store is sound; every run that was promised is accounted for; a run that was not struck itself ends by itself, with a result.
import random, threading

from serve import *

LEASE_S = 1.0
BLOWS = ["the service", "the service and the run's guardian", "the service and the run's engine", "the service, the guardian and the engine"]

PLAYBOOK = QUICK.replace("vars: {", 'vars: {listen: "127.0.0.1:1", echo: "127.0.0.1:1", victim: "1", ').replace("targets:\n", 'targets:\n  outside: {pid: "${vars.victim}"}\n').replace(
    "proxies:\n", 'proxies:\n  probe: {listen: "${vars.listen}", upstream: "${vars.echo}"}\n').replace(
    "method:\n", "method:\n  - {fault: latency, proxy: probe, latency: 400ms, for: 3s}\n  - {fault: pause, target: outside, at: 100ms, for: 3s}\n")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Echo:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            pass
        connection.close()


def echo_s(port):
    """How long an echo through the proxy takes, the best of three; None where nobody listens any more."""
    best = None
    for _ in range(3):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5 * SCALE) as connection:
                begin = time.monotonic()
                connection.sendall(b"x")
                if connection.recv(1) == b"x":
                    took = time.monotonic() - begin
                    best = took if best is None else min(best, took)
        except OSError:
            return None
    return best


class Ordeal:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.service = Service("kills")
        self.service.write("playbooks/kills.yaml", PLAYBOOK)
        self.echo = Echo()
        self.victim = subprocess.Popen(["sleep", "100000"])
        self.promised, self.struck, self.blamed, self.found = {}, set(), set(), []

    def blame(self, what):
        self.found.append(what)
        print(f"# FOUND: {what}", flush=True)

    def live(self):
        return [row[0] for row in self.service.query("SELECT id FROM run_order WHERE state = 'running'")]

    def post(self):
        """Asks for a run, as somebody does whose connection may be cut by the blow."""
        port = free_port()
        try:
            status, answer = self.service.ask("POST", "/runs", {"playbook": "kills.yaml", "vars": {
                "listen": f"127.0.0.1:{port}", "echo": self.echo.address, "victim": str(self.victim.pid)}})
            if status == 202:
                self.promised[answer["id"]] = port
            else:
                self.blame(f"a run was refused: {status} {answer}")
        except OSError:
            pass

    def strike(self, blow):
        """SIGKILL; the processes of a run are looked for first, so that they die together."""
        pids = []
        for run in self.live() if blow else []:
            text = read(f"{self.service.registry}/runs/{run}")
            wanted = {1: ["guardian"], 2: ["runner"], 3: ["guardian", "runner"]}[blow]
            found = [int(pid) for role, pid in re.findall(r"(guardian|runner) (\d+):", text) if role in wanted and int(pid)]
            if found:
                pids += found
                self.struck.add(run)
        self.service.process.send_signal(signal.SIGKILL)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.service.process.wait()
        return bool(pids)

    def await_instant(self, blow):
        """Right after the asking, in the middle of anything, or while the faults act."""
        kind = self.random.random()
        asker = None
        if not self.service.query("SELECT 1 FROM run_order WHERE state <> 'ended' LIMIT 1"):
            asker = threading.Thread(target=self.post)
            asker.start()
        if blow and kind < 0.8:
            runs = until(self.live, 10)
            if runs:
                self.service.armed(runs[0], 12)
            time.sleep(self.random.random() * 1.5)
        elif kind < 0.5:
            time.sleep(self.random.random() * 0.06)
        else:
            time.sleep(self.random.random() * 1.2)
        return asker

    def judge_wire(self, number, struck_at):
        """The wire's faults end by themselves: nobody is needed for it."""
        time.sleep(max(0, struck_at + LEASE_S + 1.0 * SCALE - time.monotonic()))
        for run in list(self.struck):
            took = echo_s(self.promised.get(run, 1))
            if took is not None and took > 0.25 * SCALE:
                self.blame(f"kill {number}: a lease later the wire fault of {run} acts still: {took:.3f} s")

    def settle(self, number):
        """Waits until every run has ended and been recovered, then looks for anything left."""
        service = self.service
        if not until(lambda: not service.query("SELECT 1 FROM run_order WHERE state <> 'ended' LIMIT 1"), 60):
            self.blame(f"kill {number}: runs do not end: {service.query('SELECT id, state FROM run_order WHERE state <> ?', 'ended')}")
        if not until(lambda: not os.listdir(f"{service.registry}/runs"), 30):
            self.blame(f"kill {number}: registered still: {os.listdir(f'{service.registry}/runs')}")
        if not until(lambda: read(f"/proc/{self.victim.pid}/stat").rsplit(")", 1)[1].split()[0] != "T", 10):
            self.blame(f"kill {number}: the outside target is stopped still")
        rows = service.query("SELECT id, outcome, status, reason, undo FROM run_order")
        for run, outcome, status, reason, undo in rows:
            left = until(lambda: not marked(run), 10) or marked(run)
            if left is not True:
                self.blame(f"kill {number}: processes of {run} are left: {left}")
            if run not in self.struck | self.blamed and (outcome != "ended" or status not in (0, 1, 2)):
                self.blamed.add(run)
                self.blame(f"kill {number}: {run} was not struck, but: {outcome} {status} {reason}")
            if not outcome or (outcome == "interrupted" and not until(lambda: service.order(run)["undo"], 15)):
                self.blame(f"kill {number}: {run} is not accounted for: {outcome} {undo}")
        known = {row[0] for row in rows}
        for run in set(self.promised) - known:
            self.blame(f"kill {number}: {run} was promised and is not known")

    def judge_store(self, number):
        database = sqlite3.connect(f"{self.service.data}/service.db", timeout=5)
        said = database.execute("PRAGMA integrity_check").fetchall()
        database.close()
        if said != [("ok",)]:
            self.blame(f"kill {number}: the store is damaged: {said}")

    def run(self, count, first=0):
        self.service.start()
        for number in range(first, first + count):
            before, blow = len(self.found), number % 4 if number % 3 == 0 else 0
            asker = self.await_instant(blow)
            struck = self.strike(blow)
            struck_at = time.monotonic()
            self.judge_store(number)
            if struck:
                self.judge_wire(number, struck_at)
            if asker:
                asker.join()
            if not self.service.start():
                self.blame(f"kill {number}: the service does not start: {self.service.said()[-500:]}")
                break
            if struck or number == first + count - 1:
                self.settle(number)
            point(f"kill {number}: {BLOWS[blow if struck else 0]}", len(self.found) == before, "\n".join(self.found[before:]))
        outcomes = self.service.query("SELECT outcome, count(*) FROM run_order GROUP BY outcome ORDER BY outcome")
        print(f"# runs: {dict(outcomes)}, struck themselves: {len(self.struck)}", flush=True)
        if self.service.stop() != 0:
            point("it ends well", False)
        self.victim.kill()
        self.victim.wait()
        self.service.remove()


def main(count, parallel):
    """`parallel` ordeals share `count` kills; each is a process of its own."""
    seed = int(os.environ.get("PERTURB_TEST_SEED", str(time.time_ns() % 10**9)))
    print(f"# seed {seed} (PERTURB_TEST_SEED repeats it)", flush=True)
    children, share = [], count // parallel
    for index in range(parallel):
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(writer, 1)
            os.close(reader)
            Ordeal(seed + index).run(share, index * share)
            sys.stdout.flush()
            sys.exit(0 if all(points) else 1)
        os.close(writer)
        children.append((pid, reader))
    lines, failed = [], False
    for pid, reader in children:
        with os.fdopen(reader) as file:
            for line in file:
                if re.match(r"(not )?ok ", line):
                    lines.append(line)
                    line = re.sub(r"ok \d+", f"ok {len(lines)}", line, count=1)
                print(line, end="", flush=True)
        failed |= os.waitpid(pid, 0)[1] != 0
    print(f"1..{share * parallel}")
    sys.exit(1 if failed or len(lines) != share * parallel else 0)
