"""Clock faults on programs that nobody here wrote: a victim that runs under the idle shim is armed and disarmed while it is asked for
the time.

The oracle is the test's own clock, read before the question and after the answer: whatever the load of the machine, the instant at
which the victim looked lies between. What a fault makes of the two is computed here, not taken from perturb; its counters are
compared with how often the victim was asked."""

import os
import re
import select
import subprocess
import time

import zoo

SLACK_S = 0.06  # the victim's resolution: a millisecond, or the kernel's tick where it keeps a time read before
COUNT_ROW = re.compile(r"^  clock +(\d+) +(\d+) +(\d+) ", re.M)


class Moment:
    """One answer: what the victim showed, and the true readings around it. Seconds; `mono` is None where it shows no such clock."""

    def __init__(self, ask):
        self.before = (time.time(), time.monotonic())
        self.real, self.mono = ask()
        self.after = (time.time(), time.monotonic())

    def shown(self, clock):
        return (self.real, self.mono)[clock]

    def is_ahead(self, clock, lead_s, slack_s=SLACK_S):
        """It shows the true time and so much."""
        return self.before[clock] - slack_s <= self.shown(clock) - lead_s <= self.after[clock] + slack_s


REAL, MONO = 0, 1


def passed(first, second, clock, rate, slack_s=SLACK_S):
    """Between two moments a clock went on by `rate` times the true time."""
    shown = second.shown(clock) - first.shown(clock)
    least, most = second.before[clock] - first.after[clock], second.after[clock] - first.before[clock]
    return rate * least - slack_s * max(1, rate) <= shown <= rate * most + slack_s * max(1, rate)


class Armed:
    """`with Armed(page, fault) as armed:`; after it, `armed.fired` is what the counters say."""

    def __init__(self, page, fault, environment):
        self.page, self.fault, self.environment, self.fired = page, fault, environment, None
        self.span = None

    def __enter__(self):
        begin = time.monotonic()
        done = zoo.run([zoo.PERTURB, "arm", self.page, self.fault + ",name=clock", "--for", "120s"], env=self.environment)
        if done.returncode != 0:
            raise RuntimeError(f"arm {self.fault}: {done.stderr}")
        self.span = (begin, time.monotonic())
        return self

    def disarm(self):
        if self.fired is None:
            done = zoo.run([zoo.PERTURB, "disarm", self.page], env=self.environment)
            row = COUNT_ROW.search(done.stdout)
            self.fired = int(row[3]) if row else -1

    def __exit__(self, *unused):
        self.disarm()


class Teller:
    """A program that tells the time on its standard output when a line comes in, under `perturb exec` without a fault."""

    def __init__(self, argv, folder, backend="preload"):
        self.environment = dict(os.environ, PERTURB_REGISTRY=os.path.join(folder, "registry"))
        os.makedirs(self.environment["PERTURB_REGISTRY"], mode=0o700, exist_ok=True)
        self.process = subprocess.Popen(zoo.exec_argv([], argv, backend), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0, env=self.environment)
        self.page = f"exec-{self.process.pid}"
        self.moment()

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    def hear(self, timeout_s=zoo.DEADLINE_S):
        """The next line; None when none has come in that time."""
        if not select.select([self.process.stdout], [], [], timeout_s)[0]:
            return None
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise RuntimeError(f"it ended: {self.process.stderr.read().decode(errors='replace')[-600:]}")
            line += byte
        return line.decode().strip()

    def moment(self):
        def ask():
            self.say("read")
            answer = self.hear()
            if answer is None:
                raise RuntimeError("it does not answer")
            real_ms, mono_ns = answer.split()
            return int(real_ms) / 1e3, int(mono_ns) / 1e9

        return Moment(ask)

    def sleep_s(self, shown_s):
        """How long, truly, it slept for what it took for so long."""
        begin = time.monotonic()
        self.say(f"sleep {round(shown_s * 1000)}")
        if self.hear() != "slept":
            raise RuntimeError("it does not wake")
        return time.monotonic() - begin

    def armed(self, fault):
        return Armed(self.page, fault, self.environment)

    def settle(self):
        """The monotonic clock changes a millisecond after the first reading that finds another plan (docs/clock-and-names.md)."""
        self.moment()
        time.sleep(0.01)

    def end(self):
        """Its status."""
        self.process.stdin.close()
        status = self.process.wait(zoo.DEADLINE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status
