#!/usr/bin/env python3
# beside: others
"""Programs that nobody here wrote, the quick ones: C libraries and linkages, a threaded C++ program, Python, curl, Redis, nginx.
What each shows, and by which oracle: tests/support/zoo.py. The heavy ones are in tests/prove/test_zoo.py."""
# time-limit: 300
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import zoo  # noqa: E402

ECHO = zoo.Echo()
ALL = list(zoo.RULES)
LEASE_MAX_S = 15


def built(folder, compiler, source, *flags):
    path = os.path.join(folder, "program")
    subprocess.run([*zoo.need(compiler), "-O2", *flags, "-o", path, os.path.join(zoo.FIXTURES, source)], check=True)
    return path


def probe_of(folder, compiler, *flags, backend="preload"):
    path = built(folder, compiler, "probe.c", *flags)
    return zoo.probe([path], path, ALL, backend, folder, ECHO)


def glibc_dynamic(folder):
    return probe_of(folder, "gcc")


def glibc_dynamic_fortified(folder):
    return probe_of(folder, "gcc", "-D_FORTIFY_SOURCE=2", "-D_FILE_OFFSET_BITS=64")


def glibc_dynamic_supervised(folder):
    return probe_of(folder, "gcc", backend="seccomp")


def glibc_static(folder):
    return probe_of(folder, "gcc", "-static", backend="seccomp")


def glibc_static_is_refused_by_the_shim(folder):
    path = built(folder, "gcc", "probe.c", "-static")
    done = zoo.run(zoo.exec_argv(["fail@open:EACCES"], [path, folder, "1"], "preload"))
    reason = zoo.doctor(path)[1]["preload"]
    return [] if done.returncode == 125 and reason and reason in done.stderr and not done.stdout else [f"{done.returncode} {done.stderr}"]


def musl_dynamic(folder):
    return probe_of(folder, "musl-gcc")


def musl_static(folder):
    return probe_of(folder, "musl-gcc", "-static", backend="seccomp")


def python(folder):
    (program,) = zoo.need("python3")
    return zoo.probe([program, os.path.join(zoo.FIXTURES, "probe.py")], program, ALL, "preload", folder, ECHO)


def python_supervised(folder):
    (program,) = zoo.need("python3")
    return zoo.probe([program, os.path.join(zoo.FIXTURES, "probe.py")], program, ALL, "seccomp", folder, ECHO)


def threads_in_cxx(folder):
    """Counting is by thread: in each of four, the same calls fail. Each takes a lock before the nine that it times."""
    found, path = [], built(folder, "g++", "threads.cc", "-pthread")
    open(os.path.join(folder, "victim-write"), "w", encoding="ascii").close()
    bare, idle = zoo.run([path, folder]), zoo.run(zoo.exec_argv([], [path, folder]))
    zoo.compare(found, "idle", (idle.returncode, sorted(idle.stdout.split("\n"))), (bare.returncode, sorted(bare.stdout.split("\n"))))
    armed = zoo.run(zoo.exec_argv([zoo.RULES["write"][1].format(folder=folder), zoo.RULES["alloc"][1], "lock_stall:30ms,nth=3,name=lock"],
                                  [path, folder]))
    for thread in range(1, 5):
        zoo.compare(found, "armed", armed.stdout.count(f"thread {thread}\nwrite: 3 6 9\nalloc: 3 6 9\nlock: 2 5 8\n"), 1)
    zoo.compare(found, "fired", {name: counts[1] for name, counts in zoo.counts_of(armed.stderr).items()}, {"write": 12, "alloc": 12, "lock": 12})
    return found + ([armed.stdout + armed.stderr] if found else [])


def curl(folder):
    """Its exit status names the call that failed (curl(1), EXIT CODES)."""
    found, port = [], zoo.free_port()
    (program, python3) = zoo.need("curl", "python3")
    page = os.path.join(folder, "page.txt")
    with open(page, "w", encoding="ascii") as file:
        file.write("hello\n")
    server = zoo.Server([python3, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", folder], zoo.answers(port))
    argv = [program, "-s", "-o", os.path.join(folder, "out"), f"http://127.0.0.1:{port}/page.txt"]
    peer = f"peer=127.0.0.1:{port}"
    cases = {(): 0, (f"fail@connect:ECONNREFUSED,{peer}",): 7, (f"fail@send:EPIPE,{peer}",): 55, (f"fail@recv:ECONNRESET,{peer}",): 56,
             (f"fail@open:EACCES,path={folder}/out",): 23, ("fail@connect:ECONNREFUSED,peer=127.0.0.2",): 0, (f"short_io@recv:1,{peer}",): 0}
    for backend in ("preload", "seccomp"):
        for faults, status in cases.items():
            zoo.compare(found, f"{backend} {faults}", zoo.run(zoo.exec_argv(faults, argv, backend)).returncode, status)
    server.stop()
    return found


def resp(port, *lines):
    return zoo.run(["/usr/bin/redis-cli", "-p", str(port), *lines]).stdout.strip()


def redis(folder):
    """Appends to its file before each answer: with the n-th fsync failing it has answered n-1 writes, and says why it ends. Which fsync
    is the first of a write is counted by strace in a run of its own."""
    found, port = [], zoo.free_port()
    program, strace, _ = zoo.need("redis-server", "strace", "redis-cli")
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always",
            "--auto-aof-rewrite-percentage", "0"]

    def place(name):
        os.makedirs(os.path.join(folder, name))
        return argv + ["--dir", os.path.join(folder, name)]

    def sets(count):
        return [resp(port, "SET", f"key{i}", "x") for i in range(count)].count("OK")

    trace = os.path.join(folder, "trace")
    bare = zoo.Server([strace, "-f", "-o", trace, "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,msync,accept,accept4", *place("bare")],
                      zoo.answers(port))
    zoo.compare(found, "bare", sets(6), 6)
    resp(port, "SHUTDOWN", "NOSAVE")
    bare.end()
    with open(trace, encoding="ascii") as file:  # what the main thread synced before its first client; ordinals count by thread
        lines = file.read().splitlines()
    lines = [line.split()[1] for line in lines if line.split()[0] == lines[0].split()[0]]
    before = next(i for i, call in enumerate(lines) if call.startswith("accept"))

    idle = zoo.Server(place("idle"), zoo.answers(port), [])
    zoo.compare(found, "idle", (sets(6), resp(port, "GET", "key5"), resp(port, "BGREWRITEAOF")),
                (6, "x", "Background append only file rewriting started"))
    zoo.compare(found, "idle, under the shim", "redis-server" in zoo.processes_under(idle.process.pid), True)
    zoo.compare(found, "idle, stopped", idle.stop(), 0)

    for backend in ("preload", "seccomp"):
        armed = zoo.Server(place(backend), zoo.answers(port), [f"fail@fsync:EIO,after={before + 4},name=sync"], backend)
        zoo.compare(found, f"{backend}: writes answered", sets(6), 4)
        zoo.compare(found, f"{backend}: status", armed.end(), 1)
        zoo.compare(found, f"{backend}: counted", armed.counts().get("sync", (0, 0))[1] >= 1, True)
    return found


def nginx(folder):
    """One file cannot be opened, then no other: the client's status and the error log say which."""
    found, port = [], zoo.free_port()
    program, client = zoo.need("nginx", "curl")
    for name in ("good.txt", "bad.txt"):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(name)
    os.chmod(folder, 0o755)
    config = os.path.join(folder, "nginx.conf")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(config, "w", encoding="ascii") as file:
        file.write(f"daemon off; {'user root;' if os.geteuid() == 0 else ''} worker_processes 2; pid {folder}/pid; error_log {folder}/error.log;\n"
                   f"events {{}} http {{ access_log {folder}/access.log; {temporary} server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n")

    def status(name):
        return zoo.run([client, "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}/{name}"]).stdout

    for backend in ("preload", "seccomp"):
        for path, good, bad in ((None, "200", "200"), ("*/bad.txt", "200", "403"), ("*.txt", "403", "403")):
            faults = [f"fail@open:EACCES,path={path},name=deny"] if path else []
            server = zoo.Server([program, "-c", config], zoo.answers(port), faults, backend)
            zoo.compare(found, f"{backend} {path}", [status(name) for name in ("good.txt", "bad.txt", "bad.txt")], [good, bad, bad])
            zoo.compare(found, f"{backend}: master and two workers", zoo.processes_under(server.process.pid).count("nginx"), 3) \
                if backend == "preload" else None
            zoo.compare(found, f"{backend} {path}: stopped", server.stop(), 0)
            if path:
                zoo.compare(found, f"{backend} {path}: fired", server.counts()["deny"][1], [good, bad, bad].count("403"))
    with open(os.path.join(folder, "access.log"), encoding="ascii") as file:
        zoo.compare(found, "access log", [len(re.findall(rf'" {code} ', text)) for text in [file.read()] for code in (200, 403)], [8, 10])
    return found


def child_of(pid, until_s=10):
    """The program that `perturb exec` runs."""
    end = time.monotonic() + until_s
    while time.monotonic() < end:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/comm", encoding="ascii") as comm:
                    if comm.read().startswith("redis"):
                        return int(child)
    raise RuntimeError("perturb exec has no such child")


def forsaken(folder, backend, number):
    """Redis with every answer's connection dropped; then its controller is stopped or killed. The fault ends with the lease, and the
    program goes on as if nothing had been."""
    found, port = [], zoo.free_port()
    program, _ = zoo.need("redis-server", "redis-cli")
    server = zoo.Server([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder], zoo.answers(port),
                        ["drop_connection@recv:peer=127.0.0.1,name=cut"], backend)
    redis_pid = child_of(server.process.pid)
    zoo.compare(found, "armed", resp(port, "PING"), "")
    os.kill(server.process.pid, number)
    end = time.monotonic() + LEASE_MAX_S
    while resp(port, "PING") != "PONG" and time.monotonic() < end:
        pass
    zoo.compare(found, "after the lease", [resp(port, "SET", "key", "x")] + [resp(port, "GET", "key") for _ in range(3)], ["OK", "x", "x", "x"])
    if number == signal.SIGSTOP:
        os.kill(server.process.pid, signal.SIGCONT)
        zoo.compare(found, "continued, nothing is armed anew", resp(port, "PING"), "PONG")
        zoo.compare(found, "stopped", server.stop(), 0)
        zoo.compare(found, "it is told", "the faults ended before the program did" in server.text(), True)
    else:
        server.end()
        resp(port, "SHUTDOWN", "NOSAVE")
        end = time.monotonic() + LEASE_MAX_S
        while os.path.exists(f"/proc/{redis_pid}") and time.monotonic() < end:
            time.sleep(0.01)
        zoo.compare(found, "stopped", os.path.exists(f"/proc/{redis_pid}"), False)
    return found


def lease_expired(folder):
    return forsaken(folder, "preload", signal.SIGSTOP)


def lease_expired_supervised(folder):
    return forsaken(folder, "seccomp", signal.SIGSTOP)


def controller_killed(folder):
    return forsaken(folder, "preload", signal.SIGKILL)


def controller_killed_supervised(folder):
    return forsaken(folder, "seccomp", signal.SIGKILL)


def arming_is_killed(folder):
    """`perturb arm` killed after 0, 1, 2 ... ms: the rule is armed whole or not at all, and nobody is disturbed but by it."""
    found, port, armed = [], zoo.free_port(), 0
    program, _ = zoo.need("redis-server", "redis-cli")
    server = zoo.Server([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder], zoo.answers(port), [])
    page = f"exec-{server.process.pid}"
    for step in range(60):
        arm = subprocess.Popen([zoo.PERTURB, "arm", page, "drop_connection@recv:peer=127.0.0.1", "--for", "60s"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            arm.wait(step * 0.001)
        except subprocess.TimeoutExpired:
            arm.kill()
            arm.wait()
        is_armed = "  armed, epoch " in zoo.run([zoo.PERTURB, "ps"]).stdout
        armed += is_armed
        zoo.compare(found, f"killed after {step} ms", resp(port, "PING"), "" if is_armed else "PONG")
        zoo.compare(found, "disarm", zoo.run([zoo.PERTURB, "disarm", page]).returncode, 0)
        zoo.compare(found, "disarmed", resp(port, "PING"), "PONG")
    zoo.compare(found, "some were armed, some were not", 0 < armed < 60, True)
    zoo.compare(found, "stopped", server.stop(), 0)
    return found[:5]


CASES = [glibc_dynamic, glibc_dynamic_fortified, glibc_dynamic_supervised, glibc_static, glibc_static_is_refused_by_the_shim, musl_dynamic,
         musl_static, python, python_supervised, threads_in_cxx, curl, redis, nginx,
         lease_expired, lease_expired_supervised, controller_killed, controller_killed_supervised, arming_is_killed]

if __name__ == "__main__":
    sys.exit(zoo.play([case for case in CASES if not sys.argv[1:] or case.__name__ in sys.argv[1:]]))
