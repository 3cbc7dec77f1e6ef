#!/usr/bin/env python3
# Playbooks that attach (`attach: true`) to a redis-server of the test's own: the fault acts and is counted as the client counts its late
# replies; afterwards, also when parts of the run die in the middle, no slot of the server's objects leads into the library, judged by
# its memory, and it serves.
# time-limit: 180
# beside: others
import json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from attached import SCALE, read, slots, until

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
PLAYBOOK = "tests/e2e/playbooks/attach.yaml"
PINGS, LATE_S, LEASE_S = 40, 0.020, 1.0
KILL = signal.SIGKILL


class Client:
    """One connection from a port of its own, which is what the fault selects."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10 * SCALE)
        self.peer = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.socket.connect(("127.0.0.1", port))

    def ping(self):
        begin = time.monotonic()
        self.socket.sendall(b"PING\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            answer += self.socket.recv(64) or b"?\r\n"
        if answer != b"+PONG\r\n":
            raise ValueError(f"the server says {answer}")
        return time.monotonic() - begin


class Scene:
    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="attach-")
        os.mkdir(self.base + "/registry", 0o700)
        self.env = dict(os.environ, PERTURB_REGISTRY=self.base + "/registry", XDG_STATE_HOME=self.base + "/state")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = subprocess.Popen(["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"],
                                       stdout=subprocess.DEVNULL, cwd=self.base)
        self.client = None
        if not until(self.connect, 10):
            raise RuntimeError("redis-server does not serve")

    def connect(self):
        try:
            self.client = Client(self.port)
            return True
        except OSError:
            return False

    def start(self, attach="true"):
        self.out = tempfile.mkdtemp(prefix="out-", dir=self.base) + "/run"
        command = [PERTURB, "run", PLAYBOOK, "--out", self.out]
        for key, value in {"pid": self.server.pid, "port": self.port, "peer": self.client.peer, "attach": attach}.items():
            command += ["--var", f"{key}={value}"]
        self.log = self.out[:-4] + "/log"
        with open(self.log, "w") as log:
            self.run = subprocess.Popen(command, stdout=log, stderr=log, env=self.env, start_new_session=True)

    def armed(self):
        return '"fault_armed"' in read(self.out + "/events.jsonl")

    def slots(self):
        return slots(self.server.pid)

    def perturb(self, *words):
        return subprocess.run([PERTURB, *words], capture_output=True, text=True, env=self.env, timeout=60 * SCALE)

    def runner(self):
        for pid in read(f"/proc/{self.run.pid}/task/{self.run.pid}/children").split():
            if read(f"/proc/{pid}/comm").strip() == "perturb-runner":
                return int(pid)
        raise RuntimeError("no runner")

    def finish(self):
        return self.run.wait(60 * SCALE)

    def end(self):
        self.server.kill()
        self.server.wait()
        shutil.rmtree(self.base)

    def acting(self):
        """The fault acts: one late reply tells."""
        if not until(self.armed, 30):
            raise RuntimeError("never armed: " + read(self.log))
        return self.client.ping() >= LATE_S

    def free_again(self):
        found = []
        if self.slots():
            found.append(f"{self.slots()} slots lead into the library")
        if self.client.ping() >= LATE_S * 10 or min(self.client.ping() for _ in range(5)) >= LATE_S:
            found.append("replies are late")
        if "attach" in self.perturb("ps").stdout or self.perturb("detach", str(self.server.pid)).returncode != 69:
            found.append("something is attached")
        return found


def acts_is_counted_and_goes(scene):
    scene.start()
    if not until(scene.armed, 30):
        return ["never armed: " + read(scene.log)]
    late = [scene.client.ping() for _ in range(PINGS)]
    found = [] if min(late) >= LATE_S else [f"a reply came after {min(late) * 1000:.1f} ms"]
    found += [] if scene.slots() > 10 else ["no slot leads into the library while it acts"]
    status = scene.finish()
    found += [] if status in (0, 1, 2) else [f"status {status}: {read(scene.log)}"]
    fault = json.load(open(scene.out + "/result.json"))["faults"][0]
    if (fault["matched"], fault["fired"]) != (PINGS, PINGS):
        found.append(f"{fault['matched']} matched and {fault['fired']} fired of {PINGS}")
    events = read(scene.out + "/events.jsonl")
    found += [] if '"target_attached"' in events else ["no event tells of the attach"]
    undo = [entry for entry in json.load(open(scene.out + "/result.json"))["undo"] if entry["entry"].startswith("attach ")]
    found += [] if [entry["outcome"] for entry in undo] == ["undone"] else [f"undo says {undo}"]
    return found + scene.free_again()


def is_refused_without(scene):
    scene.start(attach="false")
    status, said = scene.finish(), read(scene.log)
    found = [] if status == 69 and "runs without the shim; let the run bring it in (`attach: true`)" in said else [f"status {status}: {said}"]
    return found + scene.free_again()


def struck(scene, runner, guardian):
    scene.start()
    if not scene.acting():
        return ["the fault does not act"]
    pid = scene.runner()
    if runner:
        os.kill(pid, KILL)
    if guardian:
        os.kill(scene.run.pid, KILL)
    scene.run.wait(30 * SCALE) if runner else None
    return []


def guardian_undoes(scene):
    found = struck(scene, True, False)
    until(lambda: not scene.slots(), 10)
    return found + scene.free_again()


def runner_undoes(scene):
    found = struck(scene, False, True)
    until(lambda: not scene.slots(), 15)
    return found + scene.free_again()


def recover_undoes(scene):
    found = struck(scene, True, True)
    time.sleep(LEASE_S + 0.2 * SCALE)
    if min(scene.client.ping() for _ in range(5)) >= LATE_S:
        found.append("the fault outlives its lease")
    if not scene.slots():
        found.append("nothing was left to recover")
    first, second = scene.perturb("recover"), scene.perturb("recover")
    if first.returncode or not re.search(r"attach +\S+ \S+: undone", first.stdout) or "proven: nothing of it is left" not in first.stdout:
        found.append(f"recover says {first.stdout}{first.stderr}")
    if "nothing to recover" not in second.stdout:
        found.append(f"a second recover says {second.stdout}")
    return found + scene.free_again()


def moot_when_it_has_gone(scene):
    found = struck(scene, True, True)
    scene.server.kill()
    scene.server.wait()
    said = scene.perturb("recover")
    if said.returncode or not re.search(r"attach +\S+ \S+: moot", said.stdout):
        found.append(f"recover says {said.stdout}{said.stderr}")
    return found


def key_has_its_place(scene):
    found = []
    for target, wanted in (("command: [redis-server], attach: true", "has a command, which starts with the shim"),
                           ("cgroup: /nowhere", "or `attach: true`; 'it' has none of them")):
        path = scene.base + "/key.yaml"
        with open(path, "w") as file:
            file.write("perturb: 1\ntitle: x\ntargets: {it: {%s}}\nload: {main: {resp: {url: \"redis://127.0.0.1:1\"}, rate: 1/s}}\n"
                       "steady-state-hypothesis: [{signal: main.goodput, min: 1%%}]\n"
                       "method: [{fault: fail, target: it, for: 1s}]\n" % target)
        said = scene.perturb("check", path)
        if said.returncode != 65 or wanted not in said.stderr:
            found.append(f"{target}: status {said.returncode}, {said.stderr}")
    return found


CASES = [acts_is_counted_and_goes, is_refused_without, guardian_undoes, runner_undoes, recover_undoes, moot_when_it_has_gone, key_has_its_place]


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    for number, case in enumerate(CASES, 1):
        scene = Scene()
        try:
            found = case(scene)
        except Exception as error:  # a finding, with its case
            found = [f"{type(error).__name__}: {error}"]
        scene.end()
        print(f"{'not ok' if found else 'ok'} {number} - {case.__name__}", flush=True)
        print("".join("# " + line + "\n" for text in found for line in text.splitlines()), end="", flush=True)
        failed += bool(found)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
