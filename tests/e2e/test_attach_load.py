#!/usr/bin/env python3
# Attach and detach, live, under load: an nginx worker, and a threaded C++ program that throws as it works. No request is lost or answered
# wrongly, what the fault counts is what the one client that it is about counted, and after the detach no slot leads into the library;
# also when attach and detach are killed at random instants (tests/prove/test_attach_kills.py does that longer).
# time-limit: 120
import os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from attached import SCALE, read, slots, until

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
CONNECTIONS, REQUESTS, ROUNDS, LATE_S, KILLS = 6, 30, 3, 0.010, 6
SEED = int(os.environ.get("PERTURB_TEST_SEED", str(time.time_ns() % 10**9)))

NGINX = """daemon off; worker_processes 1; pid %(base)s/pid; error_log %(base)s/error.log; worker_rlimit_nofile 512;
events { worker_connections 128; }
http { access_log off; keepalive_requests 1000000;
  client_body_temp_path %(base)s/t1; proxy_temp_path %(base)s/t2; fastcgi_temp_path %(base)s/t3; uwsgi_temp_path %(base)s/t4;
  scgi_temp_path %(base)s/t5;
  server { listen 127.0.0.1:%(port)d; location / { return 200 "$uri"; } } }
"""


def connect(port, client=0):
    one = socket.socket()
    one.bind(("127.0.0.1", client))
    one.settimeout(20 * SCALE)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.connect(("127.0.0.1", port))
    return one


class Http:
    """One keep-alive connection; `ask` raises when the answer is not the question's."""

    def __init__(self, port):
        self.socket, self.number = connect(port), 0

    def ask(self):
        self.number += 1
        question = b"/%d-%d" % (self.socket.getsockname()[1], self.number)
        self.socket.sendall(b"GET " + question + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        held = b""
        while b"\r\n\r\n" not in held or len(held.split(b"\r\n\r\n", 1)[1]) < len(question):
            part = self.socket.recv(4096)
            if not part:
                raise ValueError("closed")
            held += part
        if not held.startswith(b"HTTP/1.1 200 ") or held.split(b"\r\n\r\n", 1)[1] != question:
            raise ValueError(f"wrong answer: {held}")


class Lines:
    """Each answer is the number of lines so far, so it rises."""

    def __init__(self, port):
        self.socket, self.last = connect(port), 0

    def ask(self):
        self.socket.sendall(b"what number am I\n")
        held = b""
        while not held.endswith(b"\n"):
            part = self.socket.recv(64)
            if not part:
                raise ValueError("closed")
            held += part
        if int(held) <= self.last:
            raise ValueError(f"{int(held)} after {self.last}")
        self.last = int(held)


class Load:
    """Connections that ask one after another until the end."""

    def __init__(self, kind, port):
        self.ended, self.asked, self.errors = False, [0] * CONNECTIONS, []
        self.threads = [threading.Thread(target=self.run, args=(i, kind(port))) for i in range(CONNECTIONS)]
        for thread in self.threads:
            thread.start()

    def run(self, index, connection):
        try:
            while not self.ended:
                connection.ask()
                self.asked[index] += 1
        except Exception as error:
            self.errors.append(f"connection {index}, request {self.asked[index] + 1}: {type(error).__name__}: {error}")

    def end(self):
        self.ended = True
        for thread in self.threads:
            thread.join()
        return sum(self.asked)


class Scene:
    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="attach-")
        os.mkdir(self.base + "/registry", 0o700)
        self.env = dict(os.environ, PERTURB_REGISTRY=self.base + "/registry", XDG_STATE_HOME=self.base + "/state")
        self.found = []

    def perturb(self, *words):
        return subprocess.run([PERTURB, *map(str, words)], capture_output=True, text=True, env=self.env, timeout=60 * SCALE)

    def expect(self, held, text):
        if not held:
            self.found.append(str(text))

    def round(self, pid, kind, port):
        """Attached, armed about one client, disarmed, detached, while the load goes on."""
        said = self.perturb("attach", pid)
        self.expect(said.returncode == 0, f"attach: {said.stdout}{said.stderr}")
        self.expect(slots(pid) > 10, f"{slots(pid)} slots lead into the library")
        one = kind(port)
        peer = "127.0.0.1:%d" % one.socket.getsockname()[1]
        said = self.perturb("arm", pid, f"latency@send:10ms,peer={peer},nth=2", "--for", "60s")
        self.expect(said.returncode == 0, f"arm: {said.stderr}")
        late = 0
        for _ in range(REQUESTS):
            begin = time.monotonic()
            one.ask()
            late += time.monotonic() - begin >= LATE_S
        counts = [line.split() for line in self.perturb("disarm", pid).stdout.splitlines() if line.split()[:1] == ["latency"]]
        self.expect(counts and counts[0][1:4] == [str(REQUESTS), str(REQUESTS // 2), str(REQUESTS // 2)],
                    f"of {REQUESTS} requests the fault counts {counts}")
        self.expect(late >= REQUESTS // 2, f"{late} late replies of at least {REQUESTS // 2}")
        said = self.perturb("detach", pid)
        self.expect(said.returncode == 0, f"detach: {said.stdout}{said.stderr}")
        self.expect(slots(pid) == 0, f"{slots(pid)} slots lead into the library after the detach")
        one.ask()
        one.socket.close()

    def goes_on(self, load, requests):
        before = sum(load.asked)
        self.expect(until(lambda: sum(load.asked) > before + requests or load.errors, 20), "the load does not go on")

    def kill_at_random(self, pid, load, count):
        """Attach and detach, killed at any instant: the program serves on, and both work afterwards."""
        rng, hit = random.Random(SEED), 0
        for _ in range(2):  # the first brings the library, as later ones do not
            begin = time.monotonic()
            self.expect(self.perturb("attach", pid).returncode == 0, "no attach before the kills")
            span = (time.monotonic() - begin) * 1.2  # some come too late
            self.expect(self.perturb("detach", pid).returncode == 0, "no detach before the kills")
        self.perturb("attach", pid)
        for _ in range(count):
            word = rng.choice(("attach", "detach"))
            if word == "attach":
                self.perturb("detach", pid)
            one = subprocess.Popen([PERTURB, word, str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env)
            time.sleep(rng.uniform(0, span))
            one.kill()
            hit += one.wait() < 0
            self.goes_on(load, 2 * CONNECTIONS)
        # what a killed one left is taken over after a second
        self.perturb("detach", pid)
        self.expect(until(lambda: self.perturb("attach", pid).returncode == 0, 20), "no attach after the kills")
        self.expect(self.perturb("detach", pid).returncode == 0 and slots(pid) == 0, "no detach after the kills")
        print(f"# {count} kills, {hit} in time, seed {SEED}", flush=True)

    def play(self, pid, kind, port):
        """How many requests were answered, all told."""
        load = Load(kind, port)
        self.expect(until(lambda: min(load.asked) > 20 or load.errors, 20), "the load does not begin")
        self.kill_at_random(pid, load, KILLS)
        for _ in range(ROUNDS):
            self.round(pid, kind, port)
        self.goes_on(load, 50)
        total = load.end() + ROUNDS * (REQUESTS + 1)
        self.found += load.errors
        print(f"# {total} requests, {len(load.errors)} lost", flush=True)
        return total


def nginx(scene):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(scene.base + "/conf", "w") as file:
        file.write(NGINX % {"base": scene.base, "port": port})
    master = subprocess.Popen(["nginx", "-c", scene.base + "/conf", "-e", scene.base + "/error.log"], stderr=subprocess.DEVNULL)
    children = f"/proc/{master.pid}/task/{master.pid}/children"
    worker = lambda: [int(pid) for pid in read(children).split() if "worker" in read(f"/proc/{pid}/cmdline")]

    def serves():
        try:
            connect(port).close()
            return bool(worker())
        except OSError:
            return False

    try:
        if not until(serves, 20):
            return scene.expect(False, "nginx does not serve: " + read(scene.base + "/error.log"))
        pid = worker()[0]
        scene.play(pid, Http, port)
        scene.expect(worker() == [pid], "the worker was replaced")
        scene.expect(not [line for line in read(scene.base + "/error.log").splitlines() if "[alert]" in line or "[crit]" in line],
                     read(scene.base + "/error.log"))
    finally:
        master.send_signal(signal.SIGTERM)
        scene.expect(master.wait(20 * SCALE) == 0, "nginx did not end well")


def threaded_cpp(scene):
    path = BUILD + "/tests/fixtures/attach_server"
    if not os.access(path, os.X_OK):
        return "no C++ compiler"
    server = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        total = scene.play(server.pid, Lines, int(server.stdout.readline()))
        counted, _ = server.communicate("", timeout=20 * SCALE)
        scene.expect(int(counted) == total, f"the server counted {counted.strip()} lines, the clients {total}")
        scene.expect(server.returncode == 0, f"the server's status is {server.returncode}")
    finally:
        server.kill()
        server.wait()


CASES = [nginx, threaded_cpp]


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    for number, case in enumerate(CASES, 1):
        scene, skipped = Scene(), None
        try:
            skipped = case(scene)
        except Exception as error:  # a finding, with its case
            scene.found.append(f"{type(error).__name__}: {error}")
        shutil.rmtree(scene.base)
        print(f"{'not ok' if scene.found else 'ok'} {number} - {case.__name__}{' # SKIP ' + skipped if skipped else ''}", flush=True)
        print("".join("# " + line + "\n" for text in scene.found for line in text.splitlines()), end="", flush=True)
        failed += bool(scene.found)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
