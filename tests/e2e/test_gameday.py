#!/usr/bin/env python3
# beside: others
# Game days as people hold them, in terminals: the checklist blocks, a hold waits, keys set instants that agree with this test's own clock,
# watchers of a secret scenario learn nothing before its time, hostile texts reach no terminal, and the scorecard says what happened.
import codecs, fcntl, json, os, pty, re, select, signal, struct, subprocess, tempfile, termios, threading, time, urllib.error, urllib.request

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
WORK = tempfile.mkdtemp(prefix="gameday-")
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp \x9b2J <b>&amp;"
ESCAPE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
PLAIN = re.compile("[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")
points = []
lock = threading.Lock()


def point(name, good, detail=""):
    with lock:
        points.append(bool(good))
        print(f"{'ok' if good else 'not ok'} {len(points)} - {name}", flush=True)
        if not good and detail:
            print("\n".join("# " + line for line in str(detail).splitlines()), flush=True)


def perturb(*words):
    return subprocess.run([PERTURB, *words], capture_output=True, text=True, timeout=60 * SCALE)


def playbook(name, copy_name=None):
    """As it is shipped, with the sample's programs where this build has them, and with patience for a machine that does other things."""
    path = os.path.join(WORK, copy_name or name)
    with open("playbooks/gameday/" + name) as file, open(path, "w") as copy:
        copy.write(file.read().replace("./build/", BUILD + "/").replace("timeout: 500ms", "timeout: 2s").replace("min: 95%", "min: 80%"))
    return path


class Screen:
    """What a terminal shows of the bytes written to it: as much of ECMA-48 as a full-screen view of ours may use, and nothing else."""

    def __init__(self, columns, rows):
        self.columns, self.rows, self.row, self.column = columns, rows, 0, 0
        self.lines, self.strange, self.rest, self.is_full = [""] * rows, [], "", False

    def put(self, text):
        while text:
            if self.column == self.columns and self.is_full:
                self.strange.append(f"line {self.row} is wider than {self.columns}")
                return
            if self.column == self.columns:
                self.plain("\r"), self.plain("\n")
            part, text = text[:self.columns - self.column], text[self.columns - self.column:]
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + part + line[self.column + len(part):]
            self.column += len(part)

    def take(self, text):
        text, at = self.rest + text, 0
        while at < len(text):
            if text[at] == "\x1b":
                found = ESCAPE.match(text, at)
                if not found and len(text) - at < 16:
                    break
                self.act(found.group(1) if found else "", found.group(2) if found else "bad escape")
                at = found.end() if found else at + 1
                continue
            found = PLAIN.match(text, at)
            if found:
                self.put(found.group())
            else:
                self.plain(text[at])
            at = found.end() if found else at + 1
        self.rest = text[at:]

    def plain(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == self.rows:
                self.lines, self.row = self.lines[1:] + [""], self.rows - 1
        else:
            self.strange.append(repr(character))

    def act(self, argument, what):
        if what == "H" and not argument:
            self.row = self.column = 0
        elif what == "K" and not argument:
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif what == "J" and not argument:
            self.lines[self.row + 1:] = [""] * (self.rows - self.row - 1)
        elif argument == "?1049":
            self.is_full = what == "h"
            self.lines, self.row, self.column = [""] * self.rows, 0, 0
        elif not (what == "m" or argument in ("?25", "?2026")):
            self.strange.append(f"CSI {argument} {what}")


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *words, columns=100, rows=32, environment=()):
        self.screen, self.raw, self.status, self.open = Screen(columns, rows), "", None, True
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **dict(environment)})
            os.execv(PERTURB, [PERTURB, *words])
        self.resize(columns, rows)

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        if self.open and select.select([self.fd], [], [], seconds)[0]:
            try:
                read = os.read(self.fd, 65536)
            except OSError:
                read = b""
            self.open = read != b""
            text = self.decoder.decode(read)
            self.raw += text
            self.screen.take(text)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.lines)

    def until(self, pattern, seconds=40, times=1):
        deadline = time.monotonic() + seconds * SCALE
        while len(re.findall(pattern, self.text())) < times and time.monotonic() < deadline and self.open:
            self.read(0.05)
        return re.search(pattern, self.text())

    def type(self, keys):
        at = time.monotonic_ns()
        os.write(self.fd, keys.encode())
        return at

    def end(self, seconds=60):
        deadline = time.monotonic() + seconds * SCALE
        while self.open and time.monotonic() < deadline:
            self.read(0.1)
        if self.open:
            os.kill(self.pid, signal.SIGKILL)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return self.status


def result_of(directory):
    with open(directory + "/result.json") as file:
        return json.load(file)


def run_of(day):
    found = day.until(r"\b(\d{8}-\d{6}-g[0-9a-f]{4})\b")
    return found.group(1) if found else ""


# ---- announced: from the checklist to the scorecard ----------------------------------------------------------------------------------
def announced():
    out = WORK + "/announced"
    day = Terminal("gameday", playbook("store-slow.yaml"), "--out", out, "--var", "lasts=5s", "--by", "ada " + HOSTILE)
    day.until(r"1/3 .*y, or n to stop")
    day.type("\n")
    day.type("what?\n")
    day.until("1/3", times=3)
    point("an item that nobody ticks is asked again, and nothing starts", day.text().count("1/3") == 3 and not os.path.exists(out), day.text())
    for item in ("2/3", "3/3", "g begins"):
        day.type("y\n")
        day.until(item)
    day.type("g\n")
    point("the run waits at the hold", day.until(r"HOLD, \d+ s left, g goes on: Is everybody looking"), day.text())
    run = run_of(day)
    watcher = Terminal("watch", out, columns=44, rows=16, environment={"NO_COLOR": "1"}.items())
    pipe = subprocess.Popen([PERTURB, "watch", run, "--reveal"], stdout=subprocess.PIPE, text=True)
    point("a narrow terminal without colour shows it too", watcher.until("HOLD") and "\x1b[3" not in watcher.raw, watcher.text())
    pressed = {"go": day.type("g")}
    point("go ends the hold and the fault is shaded on its row", day.until(r"latency +·+▓+"), day.text())
    pressed["detected"] = day.type("d")
    day.until("mark +detected")
    before = time.monotonic_ns()
    marked = perturb("mark", "acknowledged", HOSTILE, "--run", run, "--by", HOSTILE)
    pressed["acknowledged"] = (before + time.monotonic_ns()) // 2
    point("a mark from another terminal is taken", marked.returncode == 0, marked.stderr)
    day.until("mark +acknowledged")
    pressed["mitigated"] = day.type("m")
    day.until("mark +mitigated")
    day.type("n")
    day.until("note: _")
    day.type("it is the store\x7fe\r")
    point("a note is typed and shown", day.until("mark +note it is the store"), day.text())
    watcher.resize(120, 30)
    watcher.screen = Screen(120, 30)
    point("a terminal that grew is drawn anew", watcher.until(r"fresh +[▁▂▃▄▅▆▇█]{10}"), watcher.text())
    status = day.end()
    point("a good day ends with 0 and a scorecard", status == 0 and re.search(r"Score +\d+ of \d+", day.text()), f"{status}\n{day.text()}")
    point("no terminal was sent what a text of somebody's holds", not (day.screen.strange + watcher.screen.strange), day.screen.strange + watcher.screen.strange)
    point("the end stays on a watcher's screen", watcher.until("converged|absorbed|recovered"), watcher.text())
    watcher.type("q")
    point("until q", watcher.end(5) == 0)
    lines = pipe.communicate(timeout=30 * SCALE)[0]
    point("on a pipe there are plain lines to the end", "\x1b" not in lines and "fault_armed  latency" in lines and "run_ended" in lines and "goodput" in lines, lines)
    check_instants(out, pressed)
    check_reports(out)
    point("after its end no mark is taken", perturb("mark", "detected", "--run", out).returncode == 64)


def check_instants(out, pressed):
    result = result_of(out)
    zero_ns, instants = int(result["run"]["zero_ns"]), result["instants_s"]
    off_ms = {name: abs(zero_ns + instants[name] * 1e9 - at) / 1e6 for name, at in pressed.items() if name != "go"}
    point("instants agree with another clock within 50 ms: " + ", ".join(f"{name} {off:.1f} ms" for name, off in off_ms.items()),
          max(off_ms.values()) < 50 * SCALE, off_ms)
    timers = {timer["timer"]: timer for timer in result["timers"]}
    point("times count from the deviation and from the detection",
          abs(timers["time to detect"]["value_s"] - (instants["detected"] - instants["deviated"])) < 1e-6 and
          abs(timers["time to mitigate"]["value_s"] - (instants["mitigated"] - instants["detected"])) < 1e-6 and
          all(timer["outcome"] == "met" for timer in timers.values()), timers)
    hold = result["holds"][0]
    fault = result["faults"][0]
    point("the hold and what waited for it", hold["outcome"] == "go" and hold["waited_s"] > 0 and fault["requested_s"] >= hold["at_s"] + hold["waited_s"] - 0.001, (hold, fault))
    with open(out + "/events.jsonl") as file:
        events = [json.loads(line) for line in file]
    marks = [event["fields"]["mark"] for event in events if event["kind"] == "mark"]
    point("everything is among the events", marks.count("checked") == 3 and set(marks) == {"checked", "go", "detected", "acknowledged", "mitigated", "note"}, marks)
    with open(out + "/live.jsonl") as file:
        samples = [json.loads(line) for line in file]
    planned, good = {}, {}
    for sample in samples:
        for part in sample.get("again", []) + [sample]:
            for name, load in part["loads"].items():
                planned[name, part["t_s"]], good[name, part["t_s"]] = load["planned"], load["good"]
    for load in result["loads"]:
        seen = sum(count for (name, at), count in planned.items() if name == load["name"])
        done = sum(count for (name, at), count in good.items() if name == load["name"])
        point(f"the samples add up to what the load did: {load['name']} {seen} of {load['planned']}, good {done} of {load['ok']}",
              0 <= load["planned"] - seen <= 0.02 * load["planned"] and 0 <= load["ok"] - done <= 0.02 * load["planned"] + 5)


def check_reports(out):
    for form, words in (("text", "time to detect"), ("markdown", "time to detect"), ("html", "time to mitigate")):
        said = perturb("report", out, "--format", form).stdout
        point(f"the {form} report tells the people's times", words in said and "\x1b[31mred" not in said and "<b>&amp;" not in said.replace("&lt;b&gt;", ""), said[:3000])


# ---- secret, and it goes wrong -------------------------------------------------------------------------------------------------------
def secret():
    out = WORK + "/secret"
    day = Terminal("gameday", playbook("store-stands-still.yaml"), "--out", out, "--var", "shop=--naive", "--var", "detect=1s", "--by", "bo")
    for item in ("1/2", "2/2"):
        day.until(item)
        point(f"a secret fault is not named before item {item}", "pause" not in day.text(), day.text())
        day.type("y\n")
    day.until("g begins")
    day.type("g\n")
    day.until("HOLD")
    participant, driver = Terminal("watch", out), Terminal("watch", out, "--reveal")
    participant.until("HOLD")
    day.type("g")
    point("the driver sees what acts", driver.until(r"pause +·*▓"), driver.text())
    point("a participant sees that something acts, and not what", participant.until(r"secret-1 +·*▓") and "pause" not in participant.raw and "pause" not in day.raw,
          participant.text())
    status = day.end()
    point("a shop that waits for its store fails the day", status == 1, f"{status}\n{day.text()}")
    point("it is named once it is released", participant.until(r"fault_armed +pause") and "secret-1" not in participant.text(), participant.text())
    for terminal in (participant, driver):
        terminal.type("q")
        terminal.end(5)
    result = result_of(out)
    timer = result["timers"][0]
    point("what nobody detected is censored, not 0, and over the goal", timer["value_s"] is None and timer["at_least_s"] > 1 and timer["outcome"] == "broken", timer)
    findings = [json.loads(line) for line in perturb("findings", "--format", "json").stdout.splitlines() if line.startswith("{")]
    mine = [finding for finding in findings if "store-stands-still" in json.dumps(finding)]
    due = time.strftime("%Y-%m-%d", time.localtime(time.time() + 14 * 86400))
    point("the run and the missed goal are findings with an owner and a date",
          len(mine) == 2 and any("time to detect" in finding["title"] for finding in mine) and all(finding["owner"] == "shop" and finding["due"] == due for finding in mine),
          f"{mine}\n{perturb('findings').stdout}")


# ---- nobody answers ------------------------------------------------------------------------------------------------------------------
def unanswered():
    day = Terminal("gameday", playbook("store-slow.yaml"), "--out", WORK + "/unanswered", "--var", "patience=2s")
    for item in ("1/3", "2/3", "3/3"):
        day.until(item)
        day.type("y\n")
    day.until("g begins")
    day.type("g\n")
    status = day.end()
    result = result_of(WORK + "/unanswered")
    point("a hold that nobody answers aborts within its bound, and no fault acted",
          status == 3 and result["holds"][0]["outcome"] == "bound" and result["faults"][0]["injected_s"] is None, f"{status}\n{day.text()}")
    day = Terminal("gameday", playbook("store-slow.yaml"), "--out", WORK + "/refused")
    day.until("1/3")
    day.type("n\n")
    point("no is an answer: nothing was begun", day.end(10) == 3 and not os.path.exists(WORK + "/refused"), day.text())


# ---- by the API ----------------------------------------------------------------------------------------------------------------------
def by_the_api():
    os.makedirs(WORK + "/stored", exist_ok=True)
    playbook("store-slow.yaml", "stored/day.yaml")
    service = subprocess.Popen([PERTURB, "serve", "--listen", "127.0.0.1:0", "--data", WORK + "/data", "--playbooks", WORK + "/stored"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    base = re.search(r"(http://\S+)", service.stdout.readline()).group(1) + "/api/v1"

    def ask(path, body=None, method=None):
        request = urllib.request.Request(base + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json", "X-Perturb": "1"})
        try:
            with urllib.request.urlopen(request, timeout=20 * SCALE) as reply:
                return reply.status, json.loads(reply.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def until(look, seconds=60):
        deadline = time.monotonic() + seconds * SCALE
        while not look() and time.monotonic() < deadline:
            time.sleep(0.1)
        return look()

    try:
        status, day = ask("/gamedays", {"playbook": "day.yaml"})
        here = "/gamedays/" + day.get("id", "")
        point("a game day is opened", status == 201 and len(day["checklist"]) == 3, (status, day))
        point("it does not begin before every item is ticked", ask(here + "/go", method="POST")[0] == 409)
        point("wrong ticks and marks are refused", [ask(here + "/check", {"item": 9})[0], ask(here + "/check", {"item": 0, "by": "x"})[0],
                                                   ask(here + "/mark", {"mark": "detected"})[0], ask("/gamedays/none/check", {"item": 0})[0]] == [404, 400, 409, 404])
        for item in range(3):
            ask(here + "/check", {"item": item})
        status, day = ask(here + "/go", method="POST")
        point("then it does", status == 202 and day["state"] == "running", (status, day))
        events = day.get("directory", "") + "/events.jsonl"
        until(lambda: os.path.exists(events) and "hold_begun" in open(events).read())
        point("go ends the hold", ask(here + "/go", method="POST")[0] == 201 and until(lambda: "fault_acted" in open(events).read()))
        at = time.monotonic_ns()
        point("a mark by the API is taken", ask(f"/runs/{day['run']}/marks", {"mark": "detected", "text": HOSTILE})[0] == 201)
        point("and one that is none is not", ask(f"/runs/{day['run']}/marks", {"mark": "checked"})[0] == 400 and ask(f"/runs/{day['run']}/marks", {"mark": "note"})[0] == 400)
        point("ending it aborts the run", ask(here + "/end", method="POST")[0] == 202)
        until(lambda: ask(here)[1]["state"] == "ended")
        day = ask(here)[1]
        result = result_of(day["directory"])
        off_ms = abs(int(result["run"]["zero_ns"]) + result["instants_s"]["detected"] * 1e9 - at) / 1e6
        point(f"its instant is when it came: {off_ms:.1f} ms", off_ms < 50 * SCALE)
        point("the scorecard says so", day["scorecard"]["verdict"] == "aborted" and day["scorecard"]["plan"][0] == {"what": "items of the checklist ticked", "done": 3, "of": 3}, day)
        point("an ended one takes no marks", ask(here + "/mark", {"mark": "mitigated"})[0] == 409)
        point("it is in the list", [one["id"] for one in ask("/gamedays?limit=200")[1]["items"]].count(day["id"]) == 1)
    finally:
        service.terminate()
        service.wait(30 * SCALE)


def guarded(part):
    try:
        part()
    except Exception as error:  # a thread must not die silently
        point(f"{part.__name__} goes through", False, repr(error))


threads = [threading.Thread(target=guarded, args=(part,)) for part in (announced, secret, unanswered, by_the_api)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
subprocess.run(["rm", "-rf", WORK], check=False)
print(f"1..{len(points)}")
raise SystemExit(0 if all(points) else 1)
