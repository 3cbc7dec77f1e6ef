"""Programs that nobody here wrote (and probes in their languages) under `perturb exec`, judged from outside.

A probe makes nine calls of each point and prints which of them failed. One rule a point, nth=3, each narrowed to the probe's own
file, peer or size: where `perturb doctor --format json` says that the fault can act, calls 3, 6 and 9 must fail and no other; where
it says that it cannot, none, and the rule may not have fired. A backend that doctor says cannot carry a fault out must refuse it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "zoo")
DEADLINE_S = 60 * int(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
HIT = "3 6 9"

# Point -> fault, without what narrows it.
RULES = {
    "open": ("fail", "fail@open:EACCES,nth=3,path={folder}/victim-open,name=open"),
    "read": ("fail", "fail@read:EIO,nth=3,path={folder}/victim-read,name=read"),
    "write": ("fail", "fail@write:ENOSPC,nth=3,path={folder}/victim-write,name=write"),
    "fsync": ("fail", "fail@fsync:EIO,nth=3,path={folder}/victim-fsync,name=fsync"),
    "close": ("fail", "fail@close:EIO,nth=3,path={folder}/victim-close,name=close"),
    "connect": ("fail", "fail@connect:ECONNREFUSED,nth=3,last=9,peer=127.0.0.1:{port},name=connect"),
    "send": ("fail", "fail@send:ENOBUFS,nth=3,peer=127.0.0.1:{port},name=send"),
    "recv": ("fail", "fail@recv:ENOMEM,nth=3,peer=127.0.0.1:{port},name=recv"),
    "accept": ("fail", "fail@accept:EMFILE,nth=3,name=accept"),
    "alloc": ("alloc_fail", "alloc_fail:nth=3,size>=3MiB,size<=4MiB,name=alloc"),
}


class Skip(Exception):
    pass


class Echo:
    """Answers each byte with a byte, on any number of connections."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept_all, daemon=True).start()

    def accept_all(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    @staticmethod
    def answer(peer):
        try:
            while data := peer.recv(100):
                peer.sendall(data)
        except OSError:
            pass
        peer.close()


def need(*commands):
    """Full paths of commands; a skip that names the first that is absent."""
    found = [path for path in (shutil.which(command, path="/usr/bin:/usr/sbin:/bin:/sbin") for command in commands) if path]
    for command in commands:
        if not shutil.which(command, path="/usr/bin:/usr/sbin:/bin:/sbin"):
            raise Skip(f"no {command}")
    return found


def doctor(program):
    """Fault and point -> why it cannot act, None where it can, by backend; and the whole document."""
    text = subprocess.run([PERTURB, "doctor", "--format", "json", program], stdout=subprocess.PIPE, check=True).stdout
    document = json.loads(text)
    table = {(row["fault"], row["point"]): {"preload": row["preload"], "seccomp": row["seccomp"]} for row in document["call_faults"]}
    return table, document


def exec_argv(faults, argv, backend="auto"):
    words = [PERTURB, "exec", "--seed", "1", "--backend", backend]
    for fault in faults:
        words += ["-f", fault]
    return words + ["--", *argv]


def counts_of(text):
    """Rule -> (matched, fired) of the summary that exec ends with."""
    rows = re.findall(r"^  (\S+) +(\d+) +(\d+) +(\d+) +(\d+) +\S", text[text.rfind("perturb: exec: seed"):], re.M)
    return {row[0]: (int(row[1]), int(row[3])) for row in rows}


def run(argv, **more):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S, text=True,
                          check=False, **more)


def compare(found, what, got, expected):
    if got != expected:
        found.append(f"{what}: got {got!r}, expected {expected!r}")


def said(output):
    return dict(re.findall(r"^(\w+):(?: |$)(.*)$", output, re.M))


def probe(argv, program, points, backend, folder, echo):
    """Runs a probe bare, under the idle shim, and armed at every point; returns what is wrong, in words."""
    found, table = [], doctor(program)[0]
    for point in RULES:
        with open(os.path.join(folder, f"victim-{point}"), "w", encoding="ascii") as file:
            file.write("0123456789abcdef")
    argv = argv + [folder, str(echo.port)]
    bare, idle = run(argv), run(exec_argv([], argv, backend))
    compare(found, "bare", {point: said(bare.stdout).get(point) for point in points}, {point: "" for point in points})
    compare(found, "idle", (idle.returncode, idle.stdout), (bare.returncode, bare.stdout))
    rules = {point: RULES[point][1].format(folder=folder, port=echo.port) for point in points}
    reasons = {point: table[RULES[point][0], point][backend] for point in points}
    refused = [point for point in points if run(exec_argv([rules[point]], ["true"], backend)).returncode == 125] if backend == "seccomp" else []
    compare(found, "refused by exec", refused, [point for point in points if reasons[point]] if backend == "seccomp" else [])
    armed = run(exec_argv([rules[point] for point in points if point not in refused], argv, backend))
    counts = counts_of(armed.stderr)
    if armed.returncode != bare.returncode:
        found.append(f"armed: status {armed.returncode}: {armed.stderr[-400:]}")
    for point in points:
        can = not reasons[point]
        compare(found, f"{backend}, {point}, which doctor says {'can' if can else 'cannot'} act", said(armed.stdout).get(point), HIT if can else "")
        if point not in refused:
            compare(found, f"{backend}, {point}: fired", counts.get(point, (0, None))[1], 3 if can else 0)
    return found


class Server:
    """A daemon in the foreground, bare or under exec: started until `ready()` answers, stopped by SIGTERM."""

    def __init__(self, argv, ready, faults=None, backend="auto", **more):
        self.log = tempfile.TemporaryFile()
        self.faults = faults
        words = argv if faults is None else exec_argv(faults, argv, backend)
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **more)
        self.wait_for(ready)

    def wait_for(self, ready):
        until = time.monotonic() + DEADLINE_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"not ready: {self.text()[-600:]}")
            time.sleep(0.02)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def end(self):
        """Waits for its own end. Its status."""
        return self.process.wait(DEADLINE_S)

    def stop(self, number=signal.SIGTERM):
        """The status after the signal; -1 when it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -1

    def counts(self):
        return counts_of(self.text())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(port):
    def ready():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    return ready


def processes_under(pid):
    """The names `perturb ps` gives the processes of the page of `perturb exec` with this pid."""
    text = run([PERTURB, "ps"]).stdout
    part = re.search(rf"^exec-{pid}  .*\n((?:  .*\n)*)", text, re.M)
    return re.findall(r"^ +\d+ +(\S+)", part[1], re.M) if part else []


def play(cases):
    """A TAP point a case: a function that takes a folder of its own and returns what it found wrong."""
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, case in enumerate(cases, 1):
        name, begin = case.__name__.strip("_"), time.monotonic()
        folder = tempfile.mkdtemp(prefix="zoo-")
        try:
            found = case(folder)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            continue
        except Exception as error:  # pylint: disable=broad-except  # a case that breaks is a case that failed
            found = [f"{type(error).__name__}: {error}"]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        failed += len(found) > 0
        print(f"{'not ok' if found else 'ok'} {number} - {name}", flush=True)
        for words in found:
            print("\n".join("# " + line for line in str(words).splitlines()), flush=True)
        print(f"# {time.monotonic() - begin:.1f} s", flush=True)
    return 1 if failed else 0
