"""Torture by our own tool: one program run again and again, each time with one more call failing, until a run sees no injection.

1. Which call fails is said by `first=N,last=N` of the rule, so in every stream (thread, child) its N-th. Whether one failed at all
   is what the shim's counters say; what must then hold is judged from outside: status, output, a deadline.
2. A run is clean when it ends in time, by no signal, with a documented status; when a status that is not 0 comes with a message of
   a line or a few; and when status 0 comes with the very output of a run without faults (a failure swallowed is no success).
3. A cmocka binary may fail its tests. It may not crash (cmocka catches SIGSEGV and tells of it in words), hang, or be reported by
   a sanitiser.
4. Nothing of a run is left running, in its session (looked at after each run) or out of it (known by the run's TMPDIR, after each subject).
5. Runs share nothing: each has a registry, a state home and a folder for its files of its own, removed when it was clean."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

BUILD = os.environ.get("BUILD", "build")
PERTURB = os.path.join(BUILD, "perturb")
DEADLINE_S = 20 * int(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
LINES_MAX = 3
WORKERS = 2
RUNS_LEAST = 6  # of a point, however slow its subject
DOCUMENTED = {0, 1, 2, 3, 4, 64, 65, 69, 70}  # README, "What the exit status says"

# Point -> the errno a call of it may meet in the field.
FAULTS = {
    "alloc": "alloc_fail",
    "open": "fail@open:EMFILE",
    "read": "fail@read:EIO",
    "write": "fail@write:ENOSPC",
    "fsync": "fail@fsync:EIO",
    "close": "fail@close:EIO",
    "connect": "fail@connect:ECONNREFUSED",
    "accept": "fail@accept:EMFILE",
    "send": "fail@send:EPIPE",
    "recv": "fail@recv:ECONNRESET",
    "stat": "fail@stat:EIO",
    "truncate": "fail@truncate:EIO",
    "dir": "fail@dir:EIO",
    "unlink": "fail@unlink:EACCES",
    "rename": "fail@rename:ENOSPC",
    "map": "fail@map:ENOMEM",
    "socket": "fail@socket:ENOBUFS",
    "poll": "fail@poll:ENOMEM",
    "thread": "fail@thread:EAGAIN",
    "process": "fail@process:EAGAIN",
    "descriptor": "fail@descriptor:EMFILE",
}
CHIEF = ("alloc", "open", "read", "write", "fsync", "close", "connect", "accept", "send", "recv")

CRASH_WORDS = re.compile(rb"with exception: |AddressSanitizer|UndefinedBehaviorSanitizer|runtime error: |double free|corrupted|"
                         rb"Assertion `|torture: left running|stack smashing|buffer overflow detected")

# Libraries that answer a failed allocation or read with abort(3).
LIBRARY_CRASHES = re.compile(rb"nss_database\.c:\d+: nss_database_reload")


class Subject:
    """One program to torture. `argv` may hold {here}, a folder of the run's own, filled by `prepare(here)`. What does not end by itself
    is sent SIGTERM after `end_s`."""

    def __init__(self, name, argv, statuses=DOCUMENTED, cmocka=False, prepare=None, blur=None, same_output=True, end_s=None):
        self.name, self.argv, self.statuses, self.cmocka = name, argv, statuses, cmocka
        self.prepare, self.same_output, self.end_s = prepare, same_output, end_s
        self.blur = blur  # what differs from run to run, as a pattern
        self.expected = None

    def text(self, out):
        return re.sub(self.blur, b"#", out) if self.blur else out


class Run:
    """What came of one run: status (negative: a signal; None: out of time), stdout, stderr, and how often each rule fired (None: not told)."""

    def __init__(self, status, out, err, fired):
        self.status, self.out, self.err, self.fired = status, out, err, fired


def split_summary(text):
    """The program's own stderr, and how many calls each rule of the summary made fail."""
    begin = text.rfind(b"perturb: exec: seed ")
    if begin < 0:
        return text, None
    rows = re.findall(rb"^  (\S+) +\d+ +\d+ +(\d+) +\d+ +\S", text[begin:], re.M)
    return text[:begin], {name.decode(): int(fired) for name, fired in rows}


def session_of(pid):
    """Session and name of a process; (0, b"") when it has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            name, fields = re.fullmatch(rb"\d+ \((.*)\) (.*)", file.read(), re.S).groups()
    except (OSError, AttributeError):
        return 0, b""
    return (int(fields.split()[3]), name) if fields[:1] not in b"ZX" else (0, b"")


def end_session(session, grace_s=DEADLINE_S / 4):
    """What still lives of a session when its leader has ended, after a grace; it is ended then. Their names."""
    until = time.monotonic() + grace_s
    while True:
        left = {int(pid): session_of(pid)[1] for pid in os.listdir("/proc") if pid.isdigit() and session_of(pid)[0] == session}
        if not left or time.monotonic() > until:
            break
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())


def strays():
    """Processes of runs whose folder has gone, after a grace; they are ended. Their command lines."""
    mark, until = os.path.join(tempfile.gettempdir(), "torture-").encode(), time.monotonic() + DEADLINE_S / 2
    while True:
        left = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as command:
                    here = dict(word.partition(b"=")[::2] for word in environ.read().split(b"\0")).get(b"TMPDIR", b"")
                    words = command.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if here.startswith(mark) and not os.path.exists(here) and session_of(pid)[0]:
                left[int(pid)] = words
        if not left or time.monotonic() > until:
            break
        time.sleep(0.1)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())


def run_once(subject, faults, here):
    environment = dict(os.environ, TMPDIR=here, PERTURB_REGISTRY=os.path.join(here, "registry"), XDG_STATE_HOME=os.path.join(here, "state"),
                       XDG_RUNTIME_DIR=os.path.join(here, "registry"), NO_COLOR="1", LC_ALL="C",
                       PERTURB_TEST_TIMEOUT_MS="2000",  # a test that waits for what failed gives up sooner than we do
                       PERTURB_TEST_SLICE="30")  # and one that repeats itself does so less (tests/support/slice.h)
    for name in ("registry", "state"):
        os.makedirs(os.path.join(here, name), mode=0o700, exist_ok=True)
    if subject.prepare:
        subject.prepare(here)
    argv = [PERTURB, "exec", "--seed", "1", "--backend", "preload"] + ([word for fault in faults for word in ("-f", fault)]) + ["--"]
    argv += [word.replace("{here}", here) for word in subject.argv]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                               start_new_session=True)
    try:
        try:
            out, err = process.communicate(timeout=subject.end_s or DEADLINE_S)
        except subprocess.TimeoutExpired:
            if not subject.end_s:
                raise
            process.terminate()
            out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        end_session(process.pid, 0)
        process.communicate(timeout=DEADLINE_S)
        return Run(None, b"", b"", None)
    err, fired = split_summary(err)
    left = end_session(process.pid)
    if left:
        err += b"torture: left running: " + b", ".join(left) + b"\n"
    return Run(process.returncode, out.replace(here.encode(), b"HERE"), err, fired)


def fault_of(point, number):
    text = FAULTS[point]
    return f"{text}{',' if ':' in text else ':'}first={number},last={number},name=torture"


def complaint(subject, run):
    """What is not clean about a run, in words; "" when it is."""
    if LIBRARY_CRASHES.search(run.err):
        return ""
    if run.status is None:
        return f"not ended after {DEADLINE_S:.0f} s"
    if run.status < 0 or 128 < run.status <= 128 + 64:
        return f"ended by signal {-run.status if run.status < 0 else run.status - 128}: {run.err[-300:].decode(errors='replace')}"
    found = CRASH_WORDS.search(run.out + run.err)
    if found:
        line = next(line for line in (run.out + run.err).splitlines() if CRASH_WORDS.search(line))
        return f"crashed: {line.decode(errors='replace')}"
    if subject.cmocka:
        return ""
    if run.status not in subject.statuses:
        return f"status {run.status}: {run.err[-200:].decode(errors='replace')}"
    if run.status in (64, 65) and run.status != subject.expected.status:
        return f"status {run.status} blames the user: {run.err[-200:].decode(errors='replace')}"
    lines = [line for line in run.err.splitlines() if line.strip()]
    if run.status != subject.expected.status and not lines and (subject.same_output or not run.out.strip()):
        return f"status {run.status} without a word"
    if len(lines) > LINES_MAX + len(subject.expected.err.splitlines()):
        return f"status {run.status} with {len(lines)} lines: {run.err[:300].decode(errors='replace')}"
    if run.status == subject.expected.status and subject.same_output and subject.text(run.out) != subject.text(subject.expected.out):
        return f"status {run.status}, but another output"
    return ""


def attempt(subject, *faults):
    here = tempfile.mkdtemp(prefix="torture-")
    try:
        run = run_once(subject, faults, here)
        return run, complaint(subject, run) if subject.expected else ""
    finally:
        shutil.rmtree(here, ignore_errors=True)


def observed(subject):
    """How many calls of each point a run without faults makes, over all streams."""
    here = tempfile.mkdtemp(prefix="torture-")
    try:
        faults = [f"{text}{',' if ':' in text else ':'}observe=true,name={point}" for point, text in FAULTS.items()]
        return run_once(subject, faults, here).fired or {}
    finally:
        shutil.rmtree(here, ignore_errors=True)


class Outcome:
    """Of one subject at one point: the calls that failed one by one, the first number that no run saw (one more than there are calls,
    until then), what was unclean."""

    def __init__(self, calls):
        self.played, self.none, self.unclean = set(), calls + 1, []

    def every(self):
        return len(self.played) == self.none - 1

    def next(self):
        """The call that is to fail: the 1st, 2nd, 4th, 8th ... so that all of the run is seen, then the others from the first; None:
        all have."""
        number = 1
        while number < self.none:
            if number not in self.played:
                return number
            number *= 2
        return next((number for number in range(1, self.none) if number not in self.played), None)


def torture(subject, point, calls, most, until):
    """At most so many runs; from `until` on no new one begins, after the first few."""
    outcome = Outcome(calls)

    def one(number):
        run, words = attempt(subject, fault_of(point, number))
        if words:
            outcome.unclean.append((number, words))
        return run.fired is None or run.fired.get("torture", 0) > 0

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        while len(outcome.played) < most and (time.monotonic() < until or len(outcome.played) < RUNS_LEAST):
            batch = []
            while len(batch) < WORKERS and (number := outcome.next()):
                batch.append(number)
                outcome.played.add(number)
            for number, seen in zip(batch, list(pool.map(one, batch))):
                if not seen:
                    outcome.none = min(outcome.none, number)
            outcome.played = {number for number in outcome.played if number < outcome.none}
            if not batch:
                break
    return outcome


def torture_all(subject, points, most, until):
    """What was unclean, in words; the runs; of which points not every call was made to fail, with how many were."""
    subject.expected = attempt(subject)[0]
    counts = {point: count for point, count in observed(subject).items() if count and point in points}
    words, runs, cut = [], 0, []
    for left, (point, calls) in zip(range(len(counts), 0, -1), sorted(counts.items(), key=lambda item: item[1])):
        outcome = torture(subject, point, calls, most, time.monotonic() + max(0.0, until - time.monotonic()) / left)
        runs += len(outcome.played)
        cut += [] if outcome.every() else [f"{point} {len(outcome.played)} of {outcome.none - 1}"]
        words += [f"{fault_of(point, at)}: {what}" for at, what in outcome.unclean[:5]]
    return words, runs, cut


def tell(number, name, words):
    print(f"{'not ok' if words else 'ok'} {number} - {name}", flush=True)
    for line in words:
        print(f"# {line}", flush=True)
    return len(words) > 0


def play(subjects, most, all_s, points=tuple(FAULTS)):
    """A TAP point a subject, which names the calls whose failure was unclean; at most so many runs a point of a subject, and about so
    many seconds in all: what one subject leaves of its share, the others have. Returns the exit status."""
    only = os.environ.get("PERTURB_TORTURE", "").split(",")
    subjects = [subject for subject in subjects if any(word in subject.name for word in only)]
    print(f"1..{len(subjects)}", flush=True)
    failed, total, whole, end = 0, 0, 0, time.monotonic() + all_s
    for number, subject in enumerate(subjects, 1):
        begin = time.monotonic()
        words, runs, cut = torture_all(subject, points, most, begin + max(0.0, end - begin) / (len(subjects) - number + 1))
        words += [f"left running, out of its session: {command}" for command in strays()]
        if not runs:
            words.append("no run saw an injection")
        failed += tell(number, subject.name, words)
        print(f"# {runs} runs, {time.monotonic() - begin:.1f} s" + (f"; a slice of {', '.join(cut)}" if cut else "; every call"), flush=True)
        total, whole = total + runs, whole + (not cut)
    print(f"# {total} runs; {whole} of {len(subjects)} with every call failing once, the others a slice, named above", flush=True)
    return 1 if failed else 0
