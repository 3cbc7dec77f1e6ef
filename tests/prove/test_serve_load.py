#!/usr/bin/env python3
# The API under load: with 200 watchers of a run that has 20 updates a second, 99 of 100 answers come within 20 ms, and every watcher gets
# every update; one that does not read is dropped and delays nobody; with 10,000 stored runs every list is there within 200 ms.
# time-limit: 300
import json, multiprocessing, os, select, shutil, socket, sqlite3, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from api_client import SCALE, Service, Tap

API = "/api/v1"
WATCHERS, UPDATES_PER_S, SECONDS, RUNS = 200, 20, 10, 10000
tap = Tap()


def identity():
    boot = open("/proc/sys/kernel/random/boot_id").read().strip()
    start = open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]
    return "%s %d %s" % (boot, os.getpid(), start)


def add_live_run(service):
    directory = os.path.join(service.base, "live")
    os.makedirs(directory)
    open(directory + "/events.jsonl", "w").close()
    open(directory + "/live.jsonl", "w").close()
    with sqlite3.connect(service.data + "/history.db") as db:
        db.execute("INSERT INTO run (id, title, started, verdict, directory, runner) VALUES ('live-1', 'live', '2026-11-01T00:00:00Z', 'running', ?, ?)",
                   (directory, identity()))
    db.close()
    return directory


def write_updates(directory, stop, sent):
    filler = "x" * 700
    with open(directory + "/live.jsonl", "a") as out:
        while not stop.is_set():
            sent[0] += 1
            out.write('{"seq":%d,"ns":"%d","filler":"%s"}\n' % (sent[0], time.monotonic_ns(), filler))
            out.flush()
            stop.wait(1 / UPDATES_PER_S)


def watch(host, port, ready, stop, result):
    """Two hundred streams in one process: counts the samples of each."""
    poller, peers = select.epoll(), {}
    for _ in range(WATCHERS):
        peer = socket.create_connection((host, port))
        peer.sendall(b"GET /api/v1/runs/live-1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        peer.setblocking(False)
        poller.register(peer.fileno(), select.EPOLLIN)
        peers[peer.fileno()] = [peer, 0]
    ready.set()
    while not stop.is_set():
        for fd, _ in poller.poll(0.2):
            data = peers[fd][0].recv(1 << 16)
            if not data:
                poller.unregister(fd)
            peers[fd][1] += data.count(b"event: sample")
    result.put([count for _, count in peers.values()])


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def time_requests(service, paths, seconds):
    connection, took = service.connect(), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in paths:
            begin = time.monotonic()
            answer = service.ask("GET", path, connection=connection)
            took.append(time.monotonic() - begin)
            if answer.status != 200:
                raise RuntimeError("%s: %d" % (path, answer.status))
        time.sleep(0.01)
    return took


def test_watchers(service):
    directory = add_live_run(service)
    host, port = service.host.rsplit(":", 1)
    stop, sent = threading.Event(), [0]
    ready, end, result = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
    watchers = multiprocessing.Process(target=watch, args=(host, int(port), ready, end, result))
    watchers.start()
    ready.wait(30 * SCALE)
    deaf = socket.create_connection((host, int(port)))
    deaf.sendall(b"GET /api/v1/runs/live-1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    writer = threading.Thread(target=write_updates, args=(directory, stop, sent))
    writer.start()
    cpu = sum(int(v) for v in open("/proc/%d/stat" % service.process.pid).read().rsplit(")", 1)[1].split()[11:13])
    took = time_requests(service, [API + "/status", API + "/runs?limit=20"], SECONDS)
    cpu = sum(int(v) for v in open("/proc/%d/stat" % service.process.pid).read().rsplit(")", 1)[1].split()[11:13]) - cpu
    stop.set()
    writer.join()
    time.sleep(1)
    end.set()
    counts = result.get(timeout=30 * SCALE)
    watchers.join()
    deaf.close()
    p50, p99 = quantile(took, 0.5) * 1e3, quantile(took, 0.99) * 1e3
    print("# %d watchers, %d updates: %d requests, p50 %.1f ms, p99 %.1f ms; the service used %.2f of a core; load average %.1f" %
          (WATCHERS, sent[0], len(took), p50, p99, cpu / os.sysconf("SC_CLK_TCK") / SECONDS, os.getloadavg()[0]))
    tap.point("every watcher got every update", None if min(counts) == max(counts) == sent[0] else "%d sent, %d..%d got" % (sent[0], min(counts), max(counts)))
    tap.point("99 of 100 answers within 20 ms", None if p99 < 20 else "%.1f ms" % p99)


def test_lists(service):
    source = open("playbooks/quickstart.yaml").read()
    for i in range(30):
        with open("%s/made-%02d.yaml" % (service.playbooks, i), "w") as out:
            out.write(source)
    for i in range(10):
        service.add_runs(i * RUNS // 10, RUNS // 10, os.path.join(os.path.realpath(service.playbooks), "made-%02d.yaml" % i))
    slow = []
    for path in ("/status", "/runs", "/runs?limit=200", "/runs?playbook=made-03.yaml", "/runs?verdict=flapping", "/runs?since=2026-01-05T00:00:00Z",
                 "/playbooks", "/findings", "/scores", "/trends?playbook=made-03.yaml", "/schedules", "/occurrences", "/suites", "/windows", "/audit", "/targets"):
        took = []
        for _ in range(5):
            begin = time.monotonic()
            answer = service.ask("GET", API + path)
            took.append(time.monotonic() - begin)
        if answer.status == 404:
            continue
        middle = quantile(took, 0.5) * 1e3
        print("# %-40s %7.1f ms (first %.1f ms), %d bytes" % (path, middle, took[0] * 1e3, len(answer.body)))
        if middle > 200:
            slow.append("%s %.0f ms" % (path, middle))
    tap.point("with %d runs every list within 200 ms" % RUNS, slow)


def main():
    service = Service()
    try:
        test_watchers(service)
        test_lists(service)
    finally:
        service.stop()
        shutil.rmtree(service.base, ignore_errors=True)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
