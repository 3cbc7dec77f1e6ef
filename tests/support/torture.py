"""Torture by our own tool: one program run again and again, each time with one more call failing, until a run sees no injection.

1. Which call fails is said by `first=N,last=N` of the rule, so in every stream (thread, child) its N-th. Whether one failed at all
   is what the shim's counters say; what must then hold is judged from outside: status, output, a deadline.
2. A run is clean when it ends in time, by no signal, with a documented status; when a status that is not 0 comes with a message of
   a line or a few; and when status 0 comes with the very output of a run without faults (a failure swallowed is no success).
3. A cmocka binary may fail its tests. It may not crash (cmocka catches SIGSEGV and tells of it in words), hang, or be reported by
   a sanitiser.
4. Runs share nothing: each has a registry, a state home and a folder for its files of its own, removed when it was clean."""

import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import tempfile

BUILD = os.environ.get("BUILD", "build")
PERTURB = os.path.join(BUILD, "perturb")
DEADLINE_S = 20 * int(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
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
}

CRASH_WORDS = re.compile(rb"with exception: |AddressSanitizer|UndefinedBehaviorSanitizer|runtime error: |double free|corrupted|"
                         rb"Assertion `|stack smashing|buffer overflow detected")


class Subject:
    """One program to torture. `argv` may hold {here}, a folder of the run's own, filled by `prepare(here)`."""

    def __init__(self, name, argv, statuses=DOCUMENTED, cmocka=False, prepare=None, same_output=True, message_lines=3, points=None):
        self.name, self.argv, self.statuses, self.cmocka = name, argv, statuses, cmocka
        self.prepare, self.same_output, self.message_lines = prepare, same_output, message_lines
        self.points = points or list(FAULTS)
        self.expected = None


class Run:
    """What came of one run: status (negative: a signal; None: out of time), stdout, stderr, fired (None: not told)."""

    def __init__(self, status, out, err, fired):
        self.status, self.out, self.err, self.fired = status, out, err, fired


def split_summary(text):
    """The program's own stderr, and how many calls the rule of the summary made fail."""
    begin = text.rfind(b"perturb: exec: seed ")
    if begin < 0:
        return text, None
    row = re.search(rb"^  torture +(\d+) +(\S+) +(\S+)", text[begin:], re.M)
    return text[:begin], 0 if not row or row[3] == b"never" else int(row[3])


def run_once(subject, fault, here, wrapper=()):
    environment = dict(os.environ, TMPDIR=here, PERTURB_REGISTRY=os.path.join(here, "registry"), XDG_STATE_HOME=os.path.join(here, "state"),
                       XDG_RUNTIME_DIR=os.path.join(here, "registry"), NO_COLOR="1", LC_ALL="C")
    for name in ("registry", "state"):
        os.makedirs(os.path.join(here, name), mode=0o700, exist_ok=True)
    if subject.prepare:
        subject.prepare(here)
    argv = [PERTURB, "exec", "--seed", "1", "--backend", "preload"] + (["-f", fault] if fault else []) + ["--"]
    argv += list(wrapper) + [word.replace("{here}", here) for word in subject.argv]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                               start_new_session=True)
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Run(None, b"", b"", None)
    err, fired = split_summary(err)
    return Run(process.returncode, out.replace(here.encode(), b"HERE"), err, fired)


def fault_of(point, number, also=""):
    text = FAULTS[point]
    return f"{text}{',' if ':' in text else ':'}first={number},last={number},name=torture{also}"


def complaint(subject, run):
    """What is not clean about a run, in words; "" when it is."""
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
    lines = [line for line in run.err.splitlines() if line.strip()]
    if run.status != subject.expected.status and not lines:
        return f"status {run.status} without a word"
    if len(lines) > subject.message_lines + len(subject.expected.err.splitlines()):
        return f"status {run.status} with {len(lines)} lines: {run.err[:300].decode(errors='replace')}"
    if run.status == subject.expected.status and subject.same_output and run.out != subject.expected.out:
        return f"status {run.status}, but another output"
    return ""


def attempt(subject, fault, wrapper=()):
    here = tempfile.mkdtemp(prefix="torture-")
    try:
        run = run_once(subject, fault, here, wrapper)
        return run, complaint(subject, run) if subject.expected else ""
    finally:
        shutil.rmtree(here, ignore_errors=True)


def numbers(dense, sparse):
    """1, 2, ... dense, then ever wider steps, about `sparse` of them a doubling."""
    number = 1
    while True:
        yield number
        number += 1 if number < dense or not sparse else max(1, number // sparse)


def torture(subject, point, dense, sparse, most, workers):
    """Yields (number, complaint) of each unclean run. Ends with the first run that saw no injection, or after `most` runs.
    Returns how many runs saw one by attribute of the generator's last value: ("end", runs, exhausted)."""
    runs, exhausted, stream = 0, False, numbers(dense, sparse)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        while not exhausted and runs < most:
            batch = [next(stream) for _ in range(workers * 4)]
            results = list(pool.map(lambda number: (number, *attempt(subject, fault_of(point, number))), batch))
            for number, run, words in results:
                if run.fired == 0:
                    exhausted = True
                    break
                runs += 1
                if words:
                    yield number, words
    yield "end", runs, exhausted
