#!/usr/bin/env python3
"""The disk faults under programs that people run: what Redis and SQLite themselves say and keep, beside what perturb counted."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
LIMIT_S = int(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "20000")) / 1000
os.chdir(tempfile.mkdtemp())
HERE = os.getcwd()


def perturb(faults, command, seed=5, **more):
    options = [item for fault in faults for item in ("-f", fault)]
    return subprocess.Popen([BUILD + "/perturb", "exec", "--seed", str(seed), *options, "--", *command],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def fired(text, fault):
    return int(re.search(rf"^ +{fault} +\d+ +\d+ +(\d+)", text, re.M).group(1))


class Redis:
    """A server on a Unix socket of this folder; started under faults, or without."""

    def __init__(self, faults, *options):
        command = ["redis-server", "--port", "0", "--unixsocket", HERE + "/s", "--dir", HERE, "--save", "", *options]
        self.process = perturb(faults, command) if faults else subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(LIMIT_S)
                self.socket.connect(HERE + "/s")
                if self.ask("PING") == "+PONG":
                    break
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError("Redis did not start: " + self.process.stdout.read())
            time.sleep(0.01)
        self.pid = int(re.search(r"process_id:(\d+)", self.ask("INFO", "server")).group(1))

    def ask(self, *words):
        """The reply's first line; of a bulk reply its text. "" when the server has gone."""
        text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        try:
            self.socket.sendall(text.encode())
            data = b""
            while b"\r\n" not in data or (data[:1] == b"$" and data[:2] != b"$-" and len(data) < int(data[1:data.index(b"\r")]) + data.index(b"\r") + 4):
                more = self.socket.recv(65536)
                if not more:
                    return ""
                data += more
        except ConnectionError:
            return ""
        return data.decode().split("\r\n", 1)[1] if data[:1] == b"$" else data.decode().split("\r\n")[0]

    def end(self, number=signal.SIGTERM):
        """What it, and perturb, said."""
        if self.process.poll() is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass  # by itself meanwhile
        said = self.process.communicate(timeout=LIMIT_S)[0]
        if os.path.exists("s"):
            os.unlink("s")
        return said


def fresh():
    for folder, _, names in os.walk(HERE, topdown=False):
        for name in names:
            os.unlink(folder + "/" + name)


def fill_redis(policy):
    """How many writes were acknowledged, the answer that was another, and the server."""
    server = Redis([f"disk_full:64KiB,path={HERE}/appendonlydir/*incr.aof"], "--appendonly", "yes", "--appendfsync", policy)
    for good in range(5000):
        answer = server.ask("SET", f"k{good}", "v" * 20)
        if answer != "+OK":
            return good, answer, server
    raise AssertionError("the disk was never full")


def kept_by_redis(*options):
    server = Redis([], "--appendonly", "yes", *options)
    kept = int(server.ask("DBSIZE")[1:])
    return kept, server.end()


def redis_meets_a_full_disk():
    """It refuses to write and goes on reading; told to sync always, it ends. What it acknowledged is there afterwards; without
    syncing it learns of the failure one answer too late."""
    good, answer, server = fill_redis("everysec")
    assert "MISCONF" in answer and "No space left on device" in answer, answer
    assert server.ask("GET", "k0").startswith("v"), "reading must go on"
    said = server.end(signal.SIGKILL)
    assert fired(said, "disk_full") >= 1 and os.path.getsize("appendonlydir/appendonly.aof.1.incr.aof") <= 65536, said
    assert kept_by_redis()[0] in (good - 1, good)
    fresh()
    good, answer, server = fill_redis("always")
    said = server.end()
    assert answer == "" and "Can't recover from AOF write error" in said, said
    assert kept_by_redis()[0] == good


def redis_loses_what_it_did_not_sync():
    for policy, kept in (("no", 0), ("always", 300)):
        fresh()
        server = Redis([f"lost_writes:{HERE}/appendonlydir/*"], "--appendonly", "yes", "--appendfsync", policy)
        for i in range(300):
            assert server.ask("SET", f"k{i}", "v") == "+OK"
        said = server.end(signal.SIGKILL)
        assert ("takes back" in said) == (kept == 0), said
        assert fired(said, "lost_writes") >= 300, said
        left = kept_by_redis()[0]
        assert left == kept, f"appendfsync {policy}: {left} of 300 are left"


def redis_finds_a_torn_tail():
    server = Redis([f"torn_write:1B,then=crash,after=50,path={HERE}/appendonlydir/*incr.aof"], "--appendonly", "yes", "--appendfsync", "always")
    good = 0
    while server.ask("SET", f"k{good}", "v") == "+OK":
        good += 1
    said = server.end()
    assert fired(said, "torn_write") == 1 and "signal 9" in said, said
    refused = subprocess.run(["redis-server", "--port", "0", "--unixsocket", HERE + "/s", "--dir", HERE, "--appendonly", "yes", "--aof-load-truncated", "no"],
                             capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert refused.returncode and "Unexpected end of file" in refused.stdout, refused.stdout
    left, said = kept_by_redis("--aof-load-truncated", "yes")
    assert "Truncating the AOF" in said and left == good == 50, f"{good} acknowledged, {left} left\n{said}"


FILL = "with recursive c(i) as (select 1 union all select i+1 from c where i<5000) insert into t select i, hex(randomblob(50)) from c;"


def sqlite(*words):
    return subprocess.run(["sqlite3", "t.db", *words], capture_output=True, text=True, timeout=LIMIT_S, check=False).stdout


def sqlite_meets_a_full_disk():
    sqlite("create table t(a, b);" + FILL)
    said = perturb([f"disk_full:100KiB,path={HERE}/t.db*"], ["sqlite3", "t.db", FILL]).communicate()[0]
    assert "database or disk is full" in said and fired(said, "disk_full") >= 1, said
    assert sqlite("select count(*) from t; pragma integrity_check").split() == ["5000", "ok"]


def sqlite_reads_corruption():
    before = open("t.db", "rb").read()
    said = perturb([f"corrupt:20%,mode=random,length=4KiB,path={HERE}/t.db"], ["sqlite3", "t.db", "select count(b) from t; pragma integrity_check"]).communicate()[0]
    assert "malformed" in said and fired(said, "corrupt") >= 1, said
    assert open("t.db", "rb").read() == before and sqlite("pragma integrity_check").split() == ["ok"], "the file itself is untouched"


def python_meets_each():
    program = ("import sys\n"
               "try:\n"
               "    with open(sys.argv[1], 'w') as file: file.write('x' * 100000)\n"
               "except OSError as error: print('errno', error.errno)\n")
    for fault, code in (("disk_full:10KiB", 28), ("disk_full:10KiB,error=EDQUOT", 122), ("disk_error:read_only", 30), ("disk_error@write:stale", 116)):
        said = perturb([f"{fault},path={HERE}/p"], ["python3", "-c", program, HERE + "/p"]).communicate()[0]
        assert f"errno {code}\n" in said and fired(said, fault.split(":")[0].split("@")[0]) >= 1, said
        assert not fault.startswith("disk_full") or os.path.getsize("p") == 10240


def main():
    tests = [redis_meets_a_full_disk, redis_loses_what_it_did_not_sync, redis_finds_a_torn_tail, sqlite_meets_a_full_disk,
             sqlite_reads_corruption, python_meets_each]
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        if test.__name__ != "sqlite_reads_corruption":
            fresh()
        try:
            test()
            print(f"ok {number} - {test.__name__}", flush=True)
        except (AssertionError, subprocess.TimeoutExpired, OSError) as problem:
            failed = 1
            print(f"not ok {number} - {test.__name__}")
            print("# " + str(problem).replace("\n", "\n# "), flush=True)
    sys.exit(failed)


main()
