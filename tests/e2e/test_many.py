#!/usr/bin/env python3
# beside: others
# ps, arm and disarm on many processes at once: children, workers that are replaced, programs that are restarted, several pages, targets
# that vanish, an arm that is killed, other namespaces (as root), pages that are none. Counts are compared with what the test knows.
# time-limit: 240
import json, os, random, re, signal, socket, subprocess, sys, tempfile, time

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
REGISTRY = os.environ["PERTURB_REGISTRY"]
SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
SEED = int(os.environ.get("PERTURB_TEST_SEED", str(time.time_ns() % 10**9)))
PACE = "sleep " "0.05" # of the victims
points = []


def point(name, good, detail=""):
    points.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(points)} - {name}", flush=True)
    if not good and detail:
        print("\n".join("# " + line for line in str(detail).splitlines()), flush=True)


def skip(name, reason):
    points.append(True)
    print(f"ok {len(points)} - {name} # SKIP {reason}", flush=True)


def perturb(*words):
    return subprocess.run([PERTURB, *words], capture_output=True, text=True, timeout=60 * SCALE)


def read(path):
    with open(path) as file:
        return file.read()


def until(look, seconds=10):
    deadline = time.monotonic() + seconds * SCALE
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def pages():
    return {page["page"]: page for page in map(json.loads, perturb("ps", "--format", "json").stdout.splitlines())}


def fired(page, rule, comm=None):
    return sum(process["rules"].get(rule, {"fired": 0})["fired"] for process in page["processes"]
               if not process["unseen"] and comm in (None, process["comm"]))


def slay(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Program:
    """A program under `perturb exec`, and its page."""

    def __init__(self, *command, faults=(), ready=lambda page: True):
        words = [word for fault in faults for word in ("-f", fault)]
        self.exec = subprocess.Popen([PERTURB, "exec", *words, "--", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
        self.name = f"exec-{self.exec.pid}"
        self.ready = until(lambda: self.page() and any(process["alive"] for process in self.page()["processes"]) and ready(self.page()))

    def page(self):
        return pages().get(self.name)

    def pids(self, comm=None):
        return [process["pid"] for process in self.page()["processes"] if process["alive"] and comm in (None, process["comm"])]

    def end(self):
        def all_gone():
            page = self.page()
            alive = [process["pid"] for process in page["processes"] if process["alive"]] if page else []
            for pid in alive: # parents first: they start others
                slay(pid)
            return not alive

        until(all_gone)
        return self.exec.communicate(timeout=20 * SCALE)[1]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as one:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return one.recv(64)
    except OSError:
        return b""


def hundred_children(here):
    file = os.path.join(here, "read-me")
    with open(file, "w") as out:
        out.write("x\n")
    script = f"i=0; while [ $i -lt 100 ]; do cat {file}; i=$((i + 1)); done; exec cat {file}"
    done = perturb("exec", "-f", f'fail@open:EIO,path="{file}",observe=true,name=seen', "--", "sh", "-c", script)
    table = re.search(r"  seen +101 +101 +101 +0", done.stderr)
    lines = [int(count) for count in re.findall(r"^    (?:cat \d+ \(ended\)|others) +(\d+) +\d+$", done.stderr, re.M)]
    point("a shell that forks a hundred children and then execs: every open is counted", done.returncode == 0 and table, done.stderr)
    point("by process the counts add up", sum(lines) == 101 and len(lines) > 2, done.stderr)


def replaced_workers(here):
    port = free_port()
    conf = os.path.join(here, "nginx.conf")
    folders = "".join(f"{kind}_temp_path {here}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(conf, "w") as out:
        out.write(f"daemon off; worker_processes 2; pid {here}/nginx.pid; error_log {here}/error.log; events {{}}\n"
                  f"http {{ access_log off; {folders} server {{ listen 127.0.0.1:{port}; return 200 fine; }} }}\n")
    nginx = Program("nginx", "-c", conf, ready=lambda page: len([p for p in page["processes"] if p["alive"]]) == 3 and ask(port))
    tree = nginx.page()["processes"]
    point("nginx is shown as a tree: a master and two workers", len(tree) == 3 and all(p["parent"] == tree[0]["pid"] for p in tree[1:]), tree)
    done = perturb("arm", "nginx", "latency@accept:1ms,name=slow", "--for", "60s")
    point("armed by the name of its processes", done.returncode == 0 and nginx.name in done.stdout, done.stderr)
    for _ in range(20):
        ask(port)
    page = nginx.page()
    rule = page["rules"][0]
    point("the workers' counts add up to the rule's", rule["fired"] >= 20 and fired(page, "slow") == rule["fired"], page)
    point("the master has accepted nothing", page["processes"][0]["rules"]["slow"]["matched"] == 0, page)
    for pid in nginx.pids()[1:]:
        slay(pid)
    renewed = until(lambda: len(nginx.pids()) == 3 and ask(port))
    for _ in range(20):
        ask(port)
    page = nginx.page()
    point("workers that replace killed ones are under the same faults", renewed and fired(page, "slow") == page["rules"][0]["fired"] and
          all(not p["alive"] or p["parent"] != tree[0]["pid"] or p["pid"] not in [q["pid"] for q in tree] for p in page["processes"]) and
          sum(p["rules"]["slow"]["fired"] for p in page["processes"][1:3]) >= 20, page)
    done = perturb("disarm", "ngi*")
    point("disarmed by a pattern, with the counts by process", done.returncode == 0 and "slow by process" in done.stdout, done.stdout + done.stderr)
    nginx.end()


def restarted_child(here):
    file = os.path.join(here, "restarted")
    open(file, "w").close()
    child = f'while :; do read line < {file}; {PACE}; done'
    program = Program("sh", "-c", f"while :; do bash -c '{child}'; done", faults=(f'fail@open:EIO,path="{file}",name=gone',),
                      ready=lambda page: fired(page, "gone", "bash"))
    before = program.pids("bash")
    for pid in before:
        slay(pid)
    after = until(lambda: [p for p in program.page()["processes"] if p["alive"] and p["comm"] == "bash" and p["pid"] not in before and
                           p["rules"]["gone"]["fired"]])
    point("a child that its supervisor starts again is under the same faults", before and after, program.page())
    told = program.end()
    point("exec tells at the end which process had what", re.search(r"gone by process\n    bash \d+(?: \(ended\))? +[1-9]", told), told)


def restarted_in_a_run(here):
    file = os.path.join(here, "poll")
    open(file, "w").close()
    server = os.path.join(here, "server.py")
    with open(server, "w") as out:
        out.write("import http.server, os, sys\n"
                  "class H(http.server.BaseHTTPRequestHandler):\n"
                  "    def log_message(self, *a): pass\n"
                  "    def do_GET(self):\n"
                  f"        os.close(os.open({file!r}, os.O_RDONLY))\n"
                  "        self.send_response(200); self.end_headers(); self.wfile.write(b'fine')\n"
                  "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n")
    playbook = os.path.join(here, "restart.yaml")
    with open(playbook, "w") as out:
        out.write(f"""perturb: 1
title: a target that is restarted keeps its faults
targets:
  app: {{command: [{sys.executable}, {server}, "${{port.app}}"], ready: {{http: "http://127.0.0.1:${{port.app}}/"}}}}
load: {{main: {{http: {{url: "http://127.0.0.1:${{port.app}}/", timeout: 5s}}, rate: 20/s}}}}
steady-state-hypothesis: [{{signal: main.goodput, min: 1%}}] # the counts are the point
method:
  - {{fault: latency, point: open, path: "{file}", latency: 1ms, name: slow, target: app, at: 1s, for: 12s}}
  - {{fault: kill, target: app, at: 2s, for: 1s}}
expect: {{convergence: {{max: 5s, band: 10%, hold: 2s}}}}
""")
    run = subprocess.Popen([PERTURB, "run", playbook], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    firsts = until(lambda: [p["pid"] for page in pages().values() for p in page["processes"] if page["armed"] and not p["unseen"] and
                            p["alive"] and p["rules"].get("slow", {"fired": 0})["fired"]], 40)
    again = firsts and until(lambda: [p for page in pages().values() for p in page["processes"] if page["armed"] and not p["unseen"] and
                                      p["alive"] and p["pid"] not in firsts and p["rules"].get("slow", {"fired": 0})["fired"]], 20)
    output = run.communicate(timeout=90 * SCALE)[0]
    point("a target that a run restarts is under its faults again", firsts and again, output)


def several_pages():
    programs = [Program("tail", "-f", "/dev/null") for _ in range(3)]
    done = perturb("arm", programs[1].name, "latency@read:1us,name=alone", "--for", "60s")
    point("one of three is armed", done.returncode == 0, done.stderr)
    done = perturb("arm", "tail", "latency@read:1us,name=all", "--for", "60s")
    now = pages()
    point("of several none is armed when one cannot be, and that one is named", done.returncode == 69 and f"{programs[1].name}: armed already" in
          done.stderr and "none of the 3 pages was armed" in done.stderr and not now[programs[0].name]["armed"], done.stderr)
    done = perturb("arm", str(programs[1].pids()[0]), "latency@read:1us", "--for", "1s")
    point("arm never adds to what is armed", done.returncode == 69 and "armed already" in done.stderr, done.stderr)
    done = perturb("disarm", "--all")
    again = perturb("disarm", "--all")
    point("disarm --all, and once more", done.returncode == 0 and again.returncode == 0 and again.stdout.count("(nothing was armed)") == 3 and
          not any(page["armed"] for page in pages().values()), again.stdout + again.stderr)
    done = perturb("arm", "--all", "latency@read:1us,name=all", "--for", "60s")
    point("arm --all arms each and names each", done.returncode == 0 and all(f"armed {p.name}" in done.stdout for p in programs) and
          all(page["armed"] for page in pages().values()), done.stdout + done.stderr)
    done = perturb("arm", "tail", *[f"latency@read:1us,name=f{i}" for i in range(17)], "--for", "1s")
    point("more faults than arm takes are refused", done.returncode == 64 and "more than 16" in done.stderr, done.stderr)
    for program in programs:
        program.end()
    none = perturb("disarm", "--all")
    point("disarm --all of nothing", none.returncode == 0, none.stderr)
    none = perturb("arm", "--all", "latency@read:1us", "--for", "1s")
    point("arm --all of nothing says so", none.returncode == 69 and "no living process" in none.stderr, none.stderr)


def vanishing():
    statuses, odd = set(), []
    for _ in range(15):
        program = subprocess.Popen([PERTURB, "exec", "--", "timeout", "0.1", "tail", "-f", "/dev/null"], stderr=subprocess.DEVNULL)
        until(lambda: os.path.exists(os.path.join(REGISTRY, "pages", f"exec-{program.pid}")))
        while program.poll() is None:
            done = perturb("arm", f"exec-{program.pid}", "latency@read:1us", "--for", "1s")
            statuses.add(done.returncode)
            if done.returncode not in (0, 69) or (done.returncode and not done.stderr.startswith("perturb: ")):
                odd.append((done.returncode, done.stderr))
            perturb("disarm", f"exec-{program.pid}")
        program.wait()
    point("a target that vanishes while it is armed: armed, or status 69 and why", not odd and statuses <= {0, 69}, odd)
    done = perturb("arm", str(program.pid), "latency@read:1us", "--for", "1s")
    point("one that has gone", done.returncode == 69 and "no such process" in done.stderr, done.stderr)


def killed_arm():
    chance = random.Random(SEED)
    print(f"# PERTURB_TEST_SEED={SEED}", flush=True)
    program = Program("tail", "-f", "/dev/null")
    begun = time.monotonic()
    perturb("arm", program.name, "latency@read:1us,name=g-0", "--for", "60s")
    perturb("disarm", program.name)
    whole_s = (time.monotonic() - begun) / 2
    torn, outcomes = [], set()
    for generation in range(1, 31):
        arm = subprocess.Popen([PERTURB, "arm", program.name, *[f"latency@read:1us,name=g{generation}-{i}" for i in range(16)], "--for", "60s"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            arm.wait(chance.uniform(0, 1.5 * whole_s))
        except subprocess.TimeoutExpired:
            arm.kill()
            arm.wait()
        names = [rule["name"] for rule in program.page()["rules"]]
        new = names == [f"g{generation}-{i}" for i in range(16)]
        outcomes.add(new)
        if not new and len({name.split("-")[0] for name in names}) != 1:
            torn.append(names)
        perturb("disarm", program.name)
    point("an arm that is killed leaves the old image or the new one", not torn, torn)
    done = perturb("arm", program.name, "latency@read:1us,name=after", "--for", "60s")
    point("and the next arm is not kept waiting", done.returncode == 0 and program.page()["rules"][0]["name"] == "after", done.stderr)
    program.end()


def other_namespaces(here):
    names = ("another pid namespace: the pids are ours", "its processes are armed by these", "another mount namespace: what cannot see the page is shown",
             "doctor says why", "arm says why", "exec tells how many at the end")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode:
        for name in names:
            skip(name, "needs root and namespaces")
        return
    inside = Program("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", f"while :; do cat /etc/hostname; {PACE}; done",
                     ready=lambda page: any(p["alive"] and p["inner_pid"] == 1 for p in page["processes"]))
    shell = [p for p in inside.page()["processes"] if p["alive"] and p["inner_pid"] == 1][0]
    numbers = re.search(r"^NSpid:\s*(.*)$", read(f"/proc/{shell['pid']}/status"), re.M)[1].split()
    point(names[0], int(numbers[0]) == shell["pid"] != 1 and numbers[-1] == "1" and shell["comm"] == "sh", (numbers, shell))
    done = perturb("arm", str(shell["pid"]), "latency@open:1us,name=in,path=\"/etc/hostname\"", "--for", "30s")
    point(names[1], done.returncode == 0 and until(lambda: fired(inside.page(), "in", "cat")), done.stderr)
    inside.end()
    apart = Program("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {REGISTRY} && tail -f /dev/null; exit 0", faults=("fail@open:EIO,observe=true,name=x",),
                    ready=lambda page: any(p["unseen"] for p in page["processes"]))
    lost = [p for p in apart.page()["processes"] if p["unseen"]]
    point(names[2], len(lost) == 1 and lost[0]["comm"] == "tail" and "another mount namespace" in lost[0]["why"], apart.page())
    done = perturb("doctor", str(lost[0]["pid"]) if lost else "0")
    point(names[3], "another mount namespace" in done.stdout + done.stderr, done.stdout + done.stderr)
    done = perturb("arm", str(lost[0]["pid"]) if lost else "0", "fail@read:EIO", "--for", "1s")
    point(names[4], done.returncode == 69 and "another mount namespace" in done.stderr, done.stderr)
    for _ in range(2): # it looks after each signal that it passes on: once the second is taken, the first look is over
        os.kill(apart.exec.pid, signal.SIGWINCH)
        until(lambda: re.search(r"^ShdPnd:\s*0+$", read(f"/proc/{apart.exec.pid}/status"), re.M))
    for process in lost:
        slay(process["pid"])
    told = apart.exec.communicate(timeout=20 * SCALE)[1]
    point(names[5], "at least 1 process below it ran without the shim" in told, told)


def no_pages(here):
    folder = os.path.join(REGISTRY, "pages")
    program = Program("tail", "-f", "/dev/null")
    with open(os.path.join(folder, program.name), "rb") as file:
        image = file.read()
    for name, bytes_ in (("cut", image[:4096]), ("older", image[:4] + b"\x01\0\0\0" + image[8:]), ("empty", b"")):
        with open(os.path.join(folder, name), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(bytes_)
        done = perturb("arm", name, "fail@read:EIO", "--for", "1s")
        environment = dict(os.environ, LD_PRELOAD=os.path.join(BUILD, "libperturb.so"), PERTURB_PAGE=os.path.join(folder, name))
        lives = subprocess.run(["cat", "/etc/hostname"], env=environment, capture_output=True)
        point(f"a page that is {name} is refused by name, and programs under it run", done.returncode == 69 and
              "cut short, or of another version" in done.stderr and lives.returncode == 0 and not lives.stderr, done.stderr)
    said = perturb("ps").stderr
    point("ps names each, and the version of the one that has another", all(f"perturb: ps: {name}: " in said for name in ("cut", "older", "empty")) and
          re.search(r"ps: older: a page of version \d+; this perturb reads \d+", said), said)
    done = perturb("arm", program.name, "lock_hold@unlock:1ms", "--for", "1s")
    point("a fault at releases is refused where the library leaves them alone", done.returncode == 69 and "leaves releases and condition waits alone" in
          done.stderr, done.stderr)
    done = perturb("arm", "--all", "latency@read:1us,name=sound", "--for", "30s")
    point("they do not stand in the way of the others", done.returncode == 0 and program.page()["armed"], done.stderr)
    program.end()
    for name in ("cut", "older", "empty"):
        os.unlink(os.path.join(folder, name))
    playbook = os.path.join(here, "many.yaml")
    with open(playbook, "w") as out:
        out.write("perturb: 1\ntitle: too many\ntargets: {app: {command: [sleep, \"60\"]}}\n"
                  "load: {main: {http: {url: \"http://127.0.0.1:1/\"}, rate: 1/s}}\nsteady-state-hypothesis: [{signal: main.goodput, min: 1%}]\nmethod:\n" +
                  "".join(f"  - {{fault: fail, point: read, error: EIO, name: f{i}, target: app, at: 1s, for: 1s}}\n" for i in range(1025)))
    done = perturb("check", playbook)
    point("more than 1,024 rules are refused, with the number", done.returncode == 65 and re.search(r"1[,]?024", done.stderr), done.stderr[:2000])


def main():
    with tempfile.TemporaryDirectory() as here:
        hundred_children(here)
        replaced_workers(here)
        restarted_child(here)
        restarted_in_a_run(here)
        several_pages()
        vanishing()
        killed_arm()
        other_namespaces(here)
        no_pages(here)
    print(f"1..{len(points)}")
    sys.exit(0 if all(points) else 1)


main()
