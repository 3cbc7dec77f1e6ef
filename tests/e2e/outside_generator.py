"""A load generator of somebody else's: PING to HOST:PORT, one connection each, a line of JSON a request.

open: at RATE, whatever the server does; tells `planned`. closed: the next follows the answer; tells `t` alone. lazy: open, but plans
nothing while an answer is overdue. brief: open, and ends after 5 s with status 3. rude: open, ignores SIGTERM's wish for 1 s.
"""
import json
import signal
import socket
import sys
import threading
import time

kind, host, port, rate, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
lock = threading.Lock()
busy = []


def ask(planned):
    sent, good = time.time(), False
    busy.append(planned)
    try:
        with socket.create_connection((host, port), timeout=limit) as peer:
            peer.settimeout(max(0.001, planned + limit - time.time()))
            peer.sendall(b"PING\r\n")
            good = peer.recv(64).startswith(b"+PONG")
    except OSError:
        pass
    done = time.time()
    busy.remove(planned)
    line = {"t": sent, "latency_ms": (done - sent) * 1e3, "ok": good}
    if kind != "closed":
        line["planned"] = planned
    if not good:
        line["outcome"] = "timeout"
    with lock:
        print(json.dumps(line), flush=True)


def main():
    if kind == "rude":
        signal.signal(signal.SIGTERM, lambda *_: threading.Timer(1, lambda: signal.raise_signal(signal.SIGKILL)).start())
    start, planned = time.time(), time.time()
    while kind != "brief" or time.time() < start + 5:
        planned += 1 / rate
        time.sleep(max(0, planned - time.time()))
        if kind == "closed":
            ask(time.time())
        elif kind != "lazy" or not any(time.time() > one + 0.05 for one in busy):
            threading.Thread(target=ask, args=(planned,), daemon=True).start()
    sys.exit(3)


main()
