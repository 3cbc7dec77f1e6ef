#!/usr/bin/env python3
"""Clock faults on a Java virtual machine, on nginx and on a Go program, none of them made for it: offset, rate, freeze and jump of the
wall clock and of the clock that time limits go by, armed while they run. What each must show, and by which oracle:
tests/support/zoo_clock.py. Where doctor says that a clock fault cannot act, nothing may be armed and the time stays true.
A program that is not installed is a named skip (Debian: openjdk-17-jdk-headless nginx etcd-server)."""
# time-limit: 900
import calendar
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import zoo  # noqa: E402
from zoo_clock import MONO, REAL, SLACK_S, Armed, Moment, Teller, passed  # noqa: E402

HOUR_S = 3600
LIMIT_S = 4  # nginx closes a connection whose request is not whole after so long
READINGS = 5


def java_teller(folder, backend="preload"):
    compiler, program = zoo.need("javac", "java")
    subprocess.run([compiler, "-d", folder, os.path.join(zoo.FIXTURES, "Clock.java")], check=True)
    return Teller([program, "-Xint", "-cp", folder, "Clock"], folder, backend)


def judged(found, what, teller, fault, judge, readings=READINGS):
    """Arms, reads, disarms; `judge` says of the readings what is wrong. The counters tell of at least as many readings."""
    with teller.armed(fault) as armed:
        moments = []
        for _ in range(readings):
            moments.append(teller.moment())
            time.sleep(0.1)
        judge(moments)
    zoo.compare(found, f"{what}: fired at least once a reading", armed.fired >= readings, True)


def all_of(found, what, moments, *facts):
    for number, moment in enumerate(moments):
        for words, holds in facts:
            zoo.compare(found, f"{what}: reading {number}: {words}", holds(moment), True)


def java_wall_clock(folder):
    """Offset ahead and back, rate, freeze: the wall clock alone; true before and after."""
    found, teller = [], java_teller(folder)
    true = [("the wall clock is true", lambda moment: moment.is_ahead(REAL, 0)),
            ("so is the monotonic one", lambda moment: moment.is_ahead(MONO, 0))]

    all_of(found, "before", [teller.moment()], *true)
    for text, lead_s in (("1h", HOUR_S), ("-400d", -400 * 24 * HOUR_S)):
        judged(found, f"offset {text}", teller, f"clock:{text}",
               lambda moments, lead_s=lead_s: all_of(found, "offset", moments, ("moved", lambda moment: moment.is_ahead(REAL, lead_s)), true[1]))
        all_of(found, f"after offset {text}", [teller.moment()], *true)
    judged(found, "rate", teller, "clock:rate=10x", lambda moments: [
        zoo.compare(found, f"rate: {name} between readings {number} and the next", passed(first, second, clock, rate), True)
        for number, (first, second) in enumerate(zip(moments, moments[1:])) for name, clock, rate in (("wall", REAL, 10), ("monotonic", MONO, 1))])
    judged(found, "freeze", teller, "clock:freeze=true", lambda moments: (
        zoo.compare(found, "freeze: wall clock readings", len({moment.real for moment in moments}), 1),
        all_of(found, "freeze", moments, true[1])))
    all_of(found, "after", [teller.moment()], *true)
    with teller.armed("clock:1h,observe=true") as observed:
        all_of(found, "observed only", [teller.moment()], *true)
    zoo.compare(found, "observed only: counted", observed.fired >= 1, True)
    zoo.compare(found, "ended", teller.end(), 0)
    return found


def java_jump(folder):
    """An offset that begins later: each reading shows the time of before or of after, and which one where the instant tells."""
    found, teller = [], java_teller(folder)
    with teller.armed("clock:-2h,from=1s") as armed:
        kinds, until = [], time.monotonic() + zoo.DEADLINE_S
        while kinds.count("jumped") < READINGS and time.monotonic() < until:
            moment = teller.moment()
            kinds.append("jumped" if moment.is_ahead(REAL, -2 * HOUR_S) else "true" if moment.is_ahead(REAL, 0) else "neither")
            if moment.after[MONO] < armed.span[0] + 1:
                zoo.compare(found, "before its second", kinds[-1], "true")
            if moment.before[MONO] > armed.span[1] + 1 + SLACK_S:
                zoo.compare(found, "after its second", kinds[-1], "jumped")
            time.sleep(0.02)
        zoo.compare(found, "every reading, in this order", kinds, sorted(kinds, reverse=True))
        zoo.compare(found, "no other time", "neither" in kinds, False)
    zoo.compare(found, "fired once a reading that jumped", armed.fired >= kinds.count("jumped") == READINGS, True)
    zoo.compare(found, "after", teller.moment().is_ahead(REAL, 0), True)
    zoo.compare(found, "ended", teller.end(), 0)
    return found[:5]


def java_time_limits(folder):
    """The monotonic clock: jump ahead, never back, rate, freeze; Thread.sleep goes by it."""
    found, teller = [], java_teller(folder)
    zoo.compare(found, "a sleep, undisturbed", teller.sleep_s(0.5) >= 0.5 - SLACK_S, True)
    judged(found, "a lead of less than nothing", teller, "clock:-1h,clock=monotonic", lambda moments: (
        all_of(found, "a lead of less than nothing", moments, ("true", lambda moment: moment.is_ahead(MONO, 0)))), 0)
    with teller.armed("clock:rate=20x,clock=monotonic") as armed:
        teller.settle()
        first = teller.moment()
        true_s = teller.sleep_s(20)
        second = teller.moment()
        zoo.compare(found, "rate", passed(first, second, MONO, 20), True)
        zoo.compare(found, "rate: the wall clock", second.is_ahead(REAL, 0), True)
        zoo.compare(found, f"rate: 20 s of its sleep are 1 s, here {true_s:.2f} s", 1 - SLACK_S <= true_s < 10, True)
    zoo.compare(found, "rate: fired", armed.fired >= 3, True)
    lead_s = teller.moment().mono - time.monotonic()
    zoo.compare(found, "its lead is kept", lead_s > 10, True)
    with teller.armed("clock:freeze=true,clock=monotonic") as armed:
        teller.settle()
        moments = [teller.moment() for _ in range(READINGS)]
        zoo.compare(found, "freeze: readings", len({moment.mono for moment in moments}), 1)
        zoo.compare(found, "freeze: the wall clock", moments[-1].is_ahead(REAL, 0), True)
        teller.say("sleep 100")
        zoo.compare(found, "freeze: a sleep of 100 ms after a second", teller.hear(1), None)
        armed.disarm()
        zoo.compare(found, "freeze: a sleep, once time goes on", teller.hear(), "slept")
    zoo.compare(found, "freeze: fired", armed.fired >= READINGS, True)
    before = teller.moment()
    with teller.armed("clock:1h,clock=monotonic") as armed:
        teller.settle()
        moment = teller.moment()
        zoo.compare(found, "jump", moment.mono - before.mono >= HOUR_S, True)
        zoo.compare(found, "jump: the wall clock", moment.is_ahead(REAL, 0), True)
    zoo.compare(found, "never back", teller.moment().mono >= moment.mono, True)
    zoo.compare(found, "jump: fired", armed.fired >= 1, True)
    zoo.compare(found, "ended", teller.end(), 0)
    return found


def refused(found, program, backend, argv):
    """Doctor's reason is what exec says, before the program starts."""
    reason = zoo.doctor(program)[0]["clock", "clock"][backend]
    done = zoo.run(zoo.exec_argv(["clock:1h"], argv, backend))
    zoo.compare(found, f"{backend}: doctor has a reason", bool(reason), True)
    zoo.compare(found, f"{backend}: refused", (done.returncode, (reason or "?")[:60] in done.stderr, done.stdout), (125, True, ""))


def java_supervised_keeps_true_time(folder):
    """Under a supervisor doctor says no: exec and arm refuse, and every reading is true."""
    found = []
    (program,) = zoo.need("java")
    refused(found, program, "seccomp", [program, "-version"])
    teller = java_teller(folder, "seccomp")
    for fault in ("clock:1h", "clock:rate=10x,clock=both", "clock:freeze=true"):
        done = zoo.run([zoo.PERTURB, "arm", teller.page, fault, "--for", "60s"], env=teller.environment)
        zoo.compare(found, f"arm {fault}", done.returncode != 0 and "vDSO" in done.stderr, True)
        moment = teller.moment()
        zoo.compare(found, f"after {fault}", moment.is_ahead(REAL, 0) and moment.is_ahead(MONO, 0), True)
    zoo.compare(found, "ended", teller.end(), 0)
    return found


def go_keeps_true_time(folder):
    """A Go program reads its clocks past every library: doctor says no for both backends. The supervisor refuses; under the shim,
    which it does load where it is linked to a C library, it runs, and what it writes of the time is true."""
    found = []
    (program,) = zoo.need("etcd")
    zoo.compare(found, "doctor", bool(zoo.doctor(program)[0]["clock", "clock"]["preload"]), True)
    refused(found, program, "seccomp", [program, "--version"])
    before = int(time.time())
    done = zoo.run(zoo.exec_argv(["clock:1h,name=ahead"], [program, "--data-dir", "/dev/null/none"], "preload"))
    if done.returncode == 125:
        return found
    dates = re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.", done.stderr, re.M)
    shown = [calendar.timegm(time.strptime(date, "%Y-%m-%d %H:%M:%S")) - zone_s(before) for date in dates]
    zoo.compare(found, f"it tells the time: {done.stderr[:200]}", bool(shown), True)
    zoo.compare(found, "true times", [before <= second <= time.time() for second in shown], [True] * len(shown))
    zoo.compare(found, "fired", zoo.counts_of(done.stderr)["ahead"][1], 0)
    return found


def zone_s(at_s):
    """How far local time is ahead."""
    return calendar.timegm(time.localtime(at_s)) - int(at_s)


class Nginx:
    """nginx with a log of the time that it takes for each request."""

    def __init__(self, folder):
        (program,) = zoo.need("nginx")
        self.port, self.log = zoo.free_port(), os.path.join(folder, "time.log")
        os.chmod(folder, 0o755)
        config = os.path.join(folder, "nginx.conf")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(config, "w", encoding="ascii") as file:
            file.write(f"daemon off; {'user root;' if os.geteuid() == 0 else ''} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
                       f"events {{}} http {{ log_format clock '$msec'; access_log {self.log} clock; {temporary} server {{ listen 127.0.0.1:{self.port}; "
                       f"client_header_timeout {LIMIT_S}s; return 204; }} }}\n")
        self.environment = dict(os.environ, PERTURB_REGISTRY=os.path.join(folder, "registry"))
        os.makedirs(self.environment["PERTURB_REGISTRY"], mode=0o700, exist_ok=True)
        self.server = zoo.Server([program, "-c", config], zoo.answers(self.port), [], "preload", env=self.environment)
        self.page = f"exec-{self.server.process.pid}"

    def armed(self, fault):
        return Armed(self.page, fault, self.environment)

    def ask(self):
        """The time that nginx logs for a request, and its Date header beside it."""
        with socket.create_connection(("127.0.0.1", self.port), zoo.DEADLINE_S) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b""
            while data := peer.recv(4096):
                text += data
        date = re.search(rb"^Date: (.*)\r$", text, re.M)[1].decode()
        with open(self.log, encoding="ascii") as file:
            logged = float(file.read().split()[-1])
        stamp = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(logged))
        if date != stamp:
            raise RuntimeError(f"it logs {logged}, {stamp}, and tells its client {date}")
        return logged, None

    def moment(self):
        return Moment(self.ask)

    def half_request(self):
        peer = socket.create_connection(("127.0.0.1", self.port), zoo.DEADLINE_S)
        peer.sendall(b"GET / HTTP/1.0\r\n")
        return peer, time.monotonic()

    @staticmethod
    def closed_after(peer, begin, until_s):
        """True seconds from `begin` until nginx gave up waiting for the rest; None when it had not after so many."""
        peer.settimeout(max(0.01, begin + until_s - time.monotonic()))
        try:
            while peer.recv(4096):
                pass
        except socket.timeout:
            return None
        except ConnectionResetError:
            pass
        return time.monotonic() - begin


def nginx_wall_clock(folder):
    """Its access log and Date header; a request that is not whole is given up in true time."""
    found, nginx = [], Nginx(folder)
    zoo.compare(found, "before", nginx.moment().is_ahead(REAL, 0), True)
    for text, lead_s in (("1h", HOUR_S), ("-30d", -30 * 24 * HOUR_S)):
        judged(found, f"offset {text}", nginx, f"clock:{text}", lambda moments, lead_s=lead_s: all_of(
            found, f"offset {text}", moments, ("moved", lambda moment: moment.is_ahead(REAL, lead_s))))
        zoo.compare(found, f"after offset {text}", nginx.moment().is_ahead(REAL, 0), True)
    judged(found, "rate", nginx, "clock:rate=10x", lambda moments: zoo.compare(
        found, "rate", [passed(first, second, REAL, 10) for first, second in zip(moments, moments[1:])], [True] * (READINGS - 1)))
    with nginx.armed("clock:freeze=true") as armed:
        moments = [nginx.moment() for _ in range(2)]
        peer, begin = nginx.half_request()
        true_s = nginx.closed_after(peer, begin, zoo.DEADLINE_S)
        zoo.compare(found, f"freeze: a time limit of {LIMIT_S} s took {true_s} s", true_s is not None and true_s >= LIMIT_S - 0.5, True)
        zoo.compare(found, "freeze: readings", len({moment.real for moment in moments + [nginx.moment()]}), 1)
    zoo.compare(found, "freeze: fired", armed.fired >= 3, True)
    zoo.compare(found, "after", nginx.moment().is_ahead(REAL, 0), True)
    zoo.compare(found, "stopped", nginx.server.stop(), 0)
    return found


def nginx_time_limits(folder):
    """The clock of its timers: how long it truly waits for the rest of a request."""
    found, nginx = [], Nginx(folder)
    peer, begin = nginx.half_request()
    true_s = nginx.closed_after(peer, begin, zoo.DEADLINE_S)
    zoo.compare(found, f"undisturbed: {true_s} s", true_s is not None and true_s >= LIMIT_S - 0.5, True)
    with nginx.armed("clock:rate=20x,clock=monotonic") as armed:
        peer, begin = nginx.half_request()
        true_s = nginx.closed_after(peer, begin, zoo.DEADLINE_S)
        zoo.compare(found, f"rate: {LIMIT_S} s at twenty times the rate took {true_s} s", true_s is not None and LIMIT_S / 20 * 0.8 <= true_s < LIMIT_S / 2, True)
        zoo.compare(found, "rate: the wall clock", nginx.moment().is_ahead(REAL, 0), True)
    zoo.compare(found, "rate: fired", armed.fired >= 1, True)
    with nginx.armed("clock:freeze=true,clock=monotonic") as armed:
        peer, begin = nginx.half_request()
        zoo.compare(found, "freeze: given up", nginx.closed_after(peer, begin, 2 * LIMIT_S), None)
        zoo.compare(found, "freeze: the wall clock", nginx.moment().is_ahead(REAL, 0), True)
        armed.disarm()
        zoo.compare(found, "freeze: given up once time goes on", nginx.closed_after(peer, begin, zoo.DEADLINE_S) is not None, True)
    zoo.compare(found, "freeze: fired", armed.fired >= 1, True)
    peer, begin = nginx.half_request()
    with nginx.armed("clock:1h,clock=monotonic") as armed:
        true_s = nginx.closed_after(peer, begin, zoo.DEADLINE_S)
        zoo.compare(found, f"jump: an hour ahead, and the wait ended after {true_s} s", true_s is not None, True)
        zoo.compare(found, "jump: the wall clock", nginx.moment().is_ahead(REAL, 0), True)
    zoo.compare(found, "jump: fired", armed.fired >= 1, True)
    zoo.compare(found, "stopped", nginx.server.stop(), 0)
    return found


CASES = [java_wall_clock, java_jump, java_time_limits, java_supervised_keeps_true_time, go_keeps_true_time, nginx_wall_clock, nginx_time_limits]

if __name__ == "__main__":
    sys.exit(zoo.play([case for case in CASES if not sys.argv[1:] or case.__name__ in sys.argv[1:]]))
