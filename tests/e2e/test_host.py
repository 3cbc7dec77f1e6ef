#!/usr/bin/env python3
# Host faults on targets that are not the run's own, and what is left when parts of the run die in the middle: judged from outside, by
# the kernel's files, the file system, and datagrams of a bystander. In a network and a mount namespace of its own; needs root.
# time-limit: 240
import json, os, re, select, signal, socket, subprocess, sys, tempfile, threading, time

BUILD = os.environ.get("BUILD", "build")
SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
PLAYBOOK = "tests/e2e/playbooks/host.yaml"
MIB = 1 << 20
LEASE_S = 1.0

VICTIM = """
import socket, sys, time
target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number = 0
while True:
    number += 1
    try:
        target.sendto(b"%d" % number, ("127.0.0.1", int(sys.argv[1])))
    except OSError:
        pass
    time.sleep(0.02)
"""


def until(condition, seconds):
    deadline = time.monotonic() + seconds * SCALE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def place(hierarchy, pid="self"):
    for line in read(f"/proc/{pid}/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if controllers == hierarchy:
            return path.rstrip("/")
    return None


def mount(kind, option):
    for line in read("/proc/self/mountinfo").splitlines():
        left, right = line.split(" - ")
        if right.split()[0] == kind and (not option or option in right.split()[2].split(",")):
            return left.split()[4]
    return None


class Scene:
    """A victim in control groups of its own, a bare one in ours, a small file system, and somebody who hears the victim."""

    def __init__(self, name):
        self.found = []
        self.base = tempfile.mkdtemp(prefix=f"host-{name}-")
        self.disk = self.base + "/disk"
        os.mkdir(self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", self.disk], check=True)
        self.ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.ear.bind(("127.0.0.1", 0))
        self.heard = []
        self.second = mount("cgroup2", None) + (place("") or "") + f"/hosttest-{os.getpid()}-{name}"
        self.memory = mount("cgroup", "memory")
        self.memory = self.memory and self.memory + place("memory") + f"/hosttest-{os.getpid()}-{name}"
        for group in self.groups():
            os.mkdir(group)
        if self.memory:
            self.write(self.memory + "/memory.limit_in_bytes", 300 * MIB)
        self.victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(self.ear.getsockname()[1])], preexec_fn=self.enter)
        self.bare = subprocess.Popen(["sleep", "600"])
        self.bare_place = place("memory", self.bare.pid)
        self.env = dict(os.environ, PERTURB_REGISTRY=self.base + "/registry", XDG_STATE_HOME=self.base + "/state")
        os.mkdir(self.base + "/registry", 0o700)
        self.out = self.base + "/out"

    def groups(self):
        return [group for group in (self.second, self.memory) if group]

    def enter(self):
        for group in self.groups():
            self.write(group + "/cgroup.procs", os.getpid())

    @staticmethod
    def write(path, value):
        with open(path, "w") as file:
            file.write(str(value))

    def blame(self, text):
        self.found.append(text)

    def expect(self, held, text):
        if not held:
            self.blame(text)

    def start(self):
        variables = {"build": BUILD, "group": self.second, "bare": self.bare.pid, "disk": self.disk}
        command = [BUILD + "/perturb", "run", PLAYBOOK, "--out", self.out]
        for key, value in variables.items():
            command += ["--var", f"{key}={value}"]
        self.log = open(self.base + "/log", "w")
        self.run = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=self.env, start_new_session=True)

    def armed(self):
        return '"fault_armed","fields":{"fault":"disk_fill"' in read(self.out + "/events.jsonl") and self.free() <= MIB

    def listen(self, seconds):
        """The numbers heard in so long."""
        heard, deadline = [], time.monotonic() + seconds
        while select.select([self.ear], [], [], max(0, deadline - time.monotonic()))[0]:
            heard.append(int(self.ear.recv(64)))
        self.heard += heard
        return heard

    def free(self):
        facts = os.statvfs(self.disk)
        return facts.f_bfree * facts.f_frsize

    def limit(self):
        return int(read(self.memory + "/memory.limit_in_bytes") or -1)

    def helpers(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if read(f"/proc/{pid}/comm").strip() in ("perturb-burn", "perturb-hold", "perturb-fill") and \
                    self.id and self.id in (place("", pid) or ""):
                found.append(int(pid))
        return found

    def tables(self):
        text = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        return self.id.replace("-", "_") in text

    def left_groups(self):
        roots = [os.path.dirname(group) for group in self.groups()]
        return [root + "/" + name for root in roots for name in os.listdir(root) if name.startswith("perturb-" + self.id)]

    def find_id(self):
        match = re.search(r"^run (\S+),", read(self.base + "/log"), re.M)
        self.id = match.group(1) if match else None
        return self.id

    def runner(self):
        for pid in read(f"/proc/{self.run.pid}/task/{self.run.pid}/children").split():
            if read(f"/proc/{pid}/comm").strip() == "perturb-runner":
                return int(pid)
        return 0

    def judge_acting(self):
        self.listen(0.1)
        self.expect(not self.listen(0.4), "the partition does not act: datagrams come")
        self.expect(len(self.helpers()) == 3, f"helpers: {self.helpers()}")
        self.expect(self.tables(), "there is no table")
        if self.memory:
            self.expect(self.limit() == 100 * MIB, f"the limit is {self.limit()}")
            self.expect("perturb-" in place("memory", self.bare.pid), "the bare process is in no group of the run")
            used = int(read(self.memory + "/memory.usage_in_bytes"))
            self.expect(used >= 20 * MIB, f"the group uses {used}")

    def judge_restored(self):
        if self.memory:
            self.expect(until(lambda: self.limit() == 300 * MIB, 5), f"the limit is {self.limit()} still")
            self.expect(until(lambda: place("memory", self.bare.pid) == self.bare_place, 3), "the bare process was not moved back")
        self.expect(until(lambda: not self.tables(), 3), "the table is left")
        self.expect(until(lambda: not self.left_groups(), 3), f"groups are left: {self.left_groups()}")
        self.expect(self.victim.poll() is None and self.bare.poll() is None, "a target was ended")

    def judge_ended(self):
        self.expect(until(lambda: not self.helpers(), 0.5), f"helpers live: {self.helpers()}")
        self.expect(self.listen(0.3 * SCALE), "the partition acts on")
        self.expect(self.free() == 16 * MIB, f"the file system has {self.free()} free")

    def recover(self):
        return subprocess.run([BUILD + "/perturb", "recover"], capture_output=True, text=True, env=self.env)

    def strike(self, runner, guardian):
        pid = self.runner()
        if not pid:
            self.blame("no runner")
        if runner and pid:
            os.kill(pid, runner)
        if guardian:
            os.kill(self.run.pid, guardian)
        time.sleep(LEASE_S + 1.2 * SCALE)
        self.judge_ended()
        if runner and guardian:
            first = self.recover()
            self.expect(first.returncode == 0 and "proven: nothing of it is left" in first.stdout, f"recover says {first.stdout}")
        self.judge_restored()
        self.expect("nothing to recover" in self.recover().stdout or not guardian, "a second recover finds something")

    def finish(self):
        try:
            self.run.wait(40 * SCALE)
        except subprocess.TimeoutExpired:
            self.blame("the run does not end")
            self.run.kill()
        return self.run.returncode

    def end(self):
        for process in (self.victim, self.bare):
            process.kill()
            process.wait()
        for group in self.groups():
            if not until(lambda: not read(group + "/cgroup.procs"), 2):
                self.blame(f"{group} is not empty")
            os.rmdir(group)
        subprocess.run(["umount", self.disk], check=True)


def undisturbed(scene):
    scene.listen(0.2)
    first = scene.heard[-1] if scene.heard else 0
    status = scene.finish()
    scene.judge_restored()
    scene.judge_ended()
    scene.expect(status in (0, 1, 2), f"status {status}")  # the verdict is about the load, which has the machine to share
    try:
        faults = {fault["name"]: fault for fault in json.load(open(scene.out + "/result.json"))["faults"]}
    except OSError:
        return scene.blame("no result")
    scene.listen(0.2)
    lost = set(range(1, max(scene.heard))) - set(scene.heard)
    cut = faults["partition"]["measured"]["packets_cut"]
    # Those of before we listened, and of the time between table and release, are the kernel's to count: the victim's own gaps.
    scene.expect(cut == len(lost), f"{cut} packets cut by the kernel's count, {len(lost)} missing by ours")
    scene.expect(faults["partition"]["fired"] == cut, "fired is another number")
    scene.expect(faults["disk_fill"]["measured"]["filled_bytes"] == 15 * MIB, f"filled: {faults['disk_fill']['measured']}")
    scene.expect(faults["memory_pressure"]["measured"]["taken_bytes"] == 20 * MIB, f"taken: {faults['memory_pressure']['measured']}")
    scene.expect(faults["memory_limit"]["measured"]["limit_bytes"] == 100 * MIB, f"limit: {faults['memory_limit']['measured']}")
    burned = faults["cpu_burn"]["measured"]["cpu_ms"]
    lasted = (faults["cpu_burn"]["released_s"] - faults["cpu_burn"]["injected_s"]) * 100
    scene.expect(0.5 * lasted < burned < 1.5 * lasted, f"burned {burned} ms of {lasted:.0f}")
    for name, fault in faults.items():
        scene.expect(fault["injected_s"] is not None and fault["released_s"] is not None, f"{name} never acted or was never released")


KILL, STOP = signal.SIGKILL, signal.SIGSTOP
CASES = {
    "released": undisturbed,
    "runner killed": lambda scene: scene.strike(KILL, None),
    "runner stopped": lambda scene: scene.strike(STOP, None),
    "guardian killed": lambda scene: scene.strike(None, KILL),
    "both killed": lambda scene: scene.strike(KILL, KILL),
}


def play(name, results):
    scene = Scene(name.replace(" ", "-"))
    try:
        scene.start()
        if until(lambda: scene.find_id() and scene.armed(), 30):
            scene.judge_acting()
            CASES[name](scene)
        else:
            scene.blame("the faults were never armed")
        if scene.run.poll() is None:
            scene.finish()
    except Exception as error:  # a finding, with its case
        scene.blame(f"{type(error).__name__}: {error}")
        scene.run.kill()
    scene.end()
    results[name] = scene


REFUSED = [
    ("the group of perturb itself", "outside: {cgroup: %(root)s}", "{fault: memory_limit, target: outside, limit: 64MiB}",
     "holds perturb itself, or process 1"),
    ("a system file system", "", "{fault: disk_fill, path: /}", "lies on the file system of /"),
    ("a shared control group", "bare: {pid: %(pid)s}", "{fault: partition, target: bare}", "shares its control group"),
    ("a core that is not there", "", "{fault: cpu_burn, pin: true, core: 1000}", "core 1000 is not there"),
    ("a group with nobody in it", "gone: {cgroup: /nowhere}", "{fault: memory_pressure, target: gone, size: 1MiB}", "selects no process"),
]


def refuse(title, target, step, wanted):
    with tempfile.TemporaryDirectory() as base:
        path = base + "/refused.yaml"
        os.mkdir(base + "/registry", 0o700)
        bystander = subprocess.Popen(["sleep", "600"])
        text = f"""perturb: 1
title: refused
targets:
  store: {{command: ["{BUILD}/sample-store", --port, "${{port.store}}"]}}
  {target % {"root": mount("cgroup2", None) + (place("") or ""), "pid": bystander.pid}}
load: {{main: {{resp: {{url: "redis://127.0.0.1:${{port.store}}"}}, rate: 10/s}}}}
steady-state-hypothesis: [{{signal: main.goodput, min: 1%}}]
method:
  - {step}
"""
        Scene.write(path, text)
        env = dict(os.environ, PERTURB_REGISTRY=base + "/registry", XDG_STATE_HOME=base + "/state")
        done = subprocess.run([BUILD + "/perturb", "run", path, "--out", base + "/out"], capture_output=True, text=True, env=env)
        bystander.kill()
        bystander.wait()
    told = [line for line in done.stderr.splitlines() if line.startswith("perturb: ")]
    if done.returncode != 69 or len(told) != 1 or wanted not in told[0] or not re.search(r"refused\.yaml:\d+:\d+: ", told[0]):
        return f"status {done.returncode}, {told}"
    return ""


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    if "PERTURB_TEST_INSIDE" not in os.environ:
        os.environ["PERTURB_TEST_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--net", sys.executable, os.path.abspath(__file__)])
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    results, failed, number = {}, 0, 0
    threads = [threading.Thread(target=play, args=(name, results)) for name in CASES]
    print(f"1..{len(CASES) + len(REFUSED)}", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in CASES:
        scene, number = results.get(name), number + 1
        findings = scene.found if scene else ["it did not end"]
        failed += bool(findings)
        print(f"{'not ok' if findings else 'ok'} {number} - every host fault, {name}")
        for finding in findings:
            print(f"# {finding}")
        if findings and scene:
            print("\n".join("# | " + line for line in read(scene.base + "/log").splitlines()[-30:]))
            print(f"# kept: {scene.base}")
    for title, *case in REFUSED:
        number += 1
        finding = refuse(title, *case)
        failed += bool(finding)
        print(f"{'not ok' if finding else 'ok'} {number} - refused: {title}")
        if finding:
            print(f"# {finding}")
    return failed > 0


sys.exit(main())
