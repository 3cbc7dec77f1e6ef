#!/usr/bin/env python3
"""Programs that nobody here wrote, the heavy ones: a Java virtual machine, node, PostgreSQL, etcd; and the states that a shim can be
in when nobody renews what is armed. What each shows, and by which oracle: tests/support/zoo.py. A program that is not installed is a
named skip (Debian: openjdk-17-jdk-headless nodejs postgresql etcd-server etcd-client)."""
# time-limit: 900
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import zoo  # noqa: E402

ECHO = zoo.Echo()
ALL = list(zoo.RULES)


def java(folder, backend="preload"):
    compiler, program = zoo.need("javac", "java")
    subprocess.run([compiler, "-d", folder, os.path.join(zoo.FIXTURES, "Probe.java")], check=True)
    return zoo.probe([program, "-Djava.net.preferIPv4Stack=true", "-cp", folder, "Probe"], program, ALL, backend, folder, ECHO)


def java_supervised(folder):
    return java(folder, "seccomp")


def node(folder, backend="preload"):
    """It closes by syscall(2), which doctor says passes the shim by."""
    (program,) = zoo.need("node")
    document = zoo.doctor(program)[1]
    points = ["open", "read", "write", "fsync", "connect"] + (["close"] if backend == "seccomp" or not document["syscall"] else [])
    return zoo.probe([program, os.path.join(zoo.FIXTURES, "probe.cjs")], program, points, backend, folder, ECHO)


def node_supervised(folder):
    return node(folder, "seccomp")


class Postgres:
    """A cluster of its own, run as an ordinary user when we are root."""

    def __init__(self, folder):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        if not found:
            raise zoo.Skip("no postgres")
        self.become = []
        if os.geteuid() == 0:
            folder = tempfile.mkdtemp(prefix="zoo-", dir="/tmp")  # where another user can get to
            self.become = [*zoo.need("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
            shutil.chown(folder, "postgres", "postgres")
            os.chmod(folder, 0o755)
        self.bin, self.data, self.folder = os.path.dirname(found[-1]), os.path.join(folder, "data"), folder
        subprocess.run([*self.become, f"{self.bin}/initdb", "-D", self.data, "-A", "trust", "-U", "postgres"], check=True,
                       stdout=subprocess.DEVNULL)
        self.port = zoo.free_port()

    def start(self, faults=None, backend="auto"):
        registry = os.path.join(self.folder, "registry")
        os.makedirs(registry, mode=0o700, exist_ok=True)
        argv = [f"{self.bin}/postgres", "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", "",
                "-c", "autovacuum=off", "-c", "restart_after_crash=off"]
        words = argv if faults is None else zoo.exec_argv(faults, argv, backend)
        if self.become:
            shutil.chown(registry, "postgres", "postgres")
        environment = dict(os.environ, PERTURB_REGISTRY=registry)
        return zoo.Server([*self.become, *words], lambda: self.query("SELECT 1")[1].strip() == "1", env=environment)

    def query(self, text):
        done = zoo.run([f"{self.bin}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-Atc", text])
        return done.returncode, done.stdout, done.stderr


def postgresql(folder):
    """Backends are forked: the shim's streams and rules reach them. What the server itself tells its client is the oracle."""
    found, postgres = [], Postgres(folder)
    server = postgres.start([])
    zoo.compare(found, "idle", postgres.query("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 1000); SELECT sum(x) FROM t")[1].split()[-1], "500500")
    path = postgres.query("CHECKPOINT; SELECT pg_relation_filepath('t')")[1].split()[-1]
    zoo.compare(found, "idle, stopped", server.stop(signal.SIGINT), 0)
    for backend in ("preload", "seccomp"):
        server = postgres.start([f"fail@read:EIO,path=*/{path},name=read"], backend)
        for _ in range(3):
            status, _, error = postgres.query("SELECT sum(x) FROM t")
            zoo.compare(found, f"{backend}: a table that cannot be read", (status, "could not read block 0" in error and "Input/output error" in error),
                        (1, True))
        zoo.compare(found, f"{backend}: the catalogue can", postgres.query("SELECT count(*) > 100 FROM pg_class")[1].strip(), "t")
        zoo.compare(found, f"{backend}: stopped", server.stop(signal.SIGINT), 0)
        zoo.compare(found, f"{backend}: fired", server.text().count("could not read block 0"), server.counts().get("read", (0, None))[1])
        server = postgres.start([f"fail@fsync:EIO,path=*/pg_wal/*,after={SYNCS_BEFORE},name=sync"], backend)
        statements = [postgres.query("INSERT INTO t VALUES (1)")[0] for _ in range(3)]
        zoo.compare(found, f"{backend}: a log that cannot be synced ends it", (statements[-1] != 0, server.end() != 0), (True, True))
        zoo.compare(found, f"{backend}: it says why", "PANIC:  could not fsync" in server.text() or "PANIC:  could not fdatasync" in server.text(), True)
    if postgres.folder != folder:
        shutil.rmtree(postgres.folder)
    return found


SYNCS_BEFORE = 0


def etcd(folder):
    """Go: preload cannot act at any point that doctor says it cannot, the supervisor can. A put is answered only when its fdatasync
    came back: with those failing from the n-th on, the server ends and names the error."""
    found = []
    program, client = zoo.need("etcd", "etcdctl")
    table, document = zoo.doctor(program)
    zoo.compare(found, "backend", document["auto"], "seccomp")
    ports = [zoo.free_port(), zoo.free_port()]
    environment = dict(os.environ, ETCDCTL_API="3", ETCD_UNSUPPORTED_ARCH="")

    def put(key):
        return zoo.run([client, "--endpoints", f"127.0.0.1:{ports[0]}", "--dial-timeout=2s", "--command-timeout=2s", "put", key, "x"],
                       env=environment).returncode

    def start(name, faults, backend):
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        argv = [program, "--data-dir", os.path.join(folder, name), "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
                "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1], "--initial-cluster", f"default={urls[1]}"]
        return zoo.Server(argv, lambda: put("ready") == 0, faults, backend, env=environment)

    server = start("idle", [], "auto")
    zoo.compare(found, "idle", [put("a"), put("b")], [0, 0])
    zoo.compare(found, "idle, stopped", server.stop() in (0, 128 + signal.SIGTERM), True)
    points = [point for point in ALL if point != "alloc" and table["fail", point]["preload"]]
    server = start("preload", [f"fail@{point}:EIO,name={point}" for point in points if point != "close"], "preload") \
        if zoo.run(zoo.exec_argv(["fail@fsync:EIO"], [program, "--version"], "preload")).returncode == 0 else None
    if server:
        zoo.compare(found, "preload: none of what doctor says it cannot", put("a"), 0)
        server.stop()
        zoo.compare(found, "preload: fired", sum(counts[1] for counts in server.counts().values()), 0)
    server = start("seccomp", ["fail@fsync:EIO,path=*/wal/*,from=8s,name=sync"], "seccomp")
    status, until = 0, time.monotonic() + 30
    while status == 0 and time.monotonic() < until:
        status = put("c")
    zoo.compare(found, "seccomp: puts fail in the end, and the server with them", (status != 0, server.end() != 0), (True, True))
    zoo.compare(found, "seccomp: it says why", "input/output error" in server.text(), True)
    zoo.compare(found, "seccomp: fired", server.counts().get("sync", (0, 0))[1] >= 1, True)
    return found


CASES = [java, java_supervised, node, node_supervised, postgresql, etcd]

if __name__ == "__main__":
    sys.exit(zoo.play([case for case in CASES if not sys.argv[1:] or case.__name__ in sys.argv[1:]]))
