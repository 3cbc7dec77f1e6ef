"""A load generator of somebody else's: PINGs to HOST:PORT over one connection, a line of JSON a request.

open: at RATE, whatever the server does; tells `planned`. closed: the next follows the answer, at RATE while it keeps up; tells `t`
alone, when it was to be sent: how busy this machine is does not show in it. lazy: open, but plans nothing while an answer is overdue.
brief: open, and ends after 6.5 s with status 3. tardy: open, begins 2.5 s after its start. Asked to end, all but brief tell what they
planned until then.
"""
import collections
import json
import select
import signal
import socket
import sys
import time

kind, host, port, rate, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
waiting = collections.deque()  # in order of sending, which is that of the answers: [planned, sent, told]


def tell(request, good):
    planned, sent, told = request
    request[2] = True
    if told:
        return
    line = {"t": sent, "latency_ms": max(0, time.time() - sent) * 1e3, "ok": good}
    if kind != "closed":
        line["planned"] = planned
    if not good:
        line["outcome"] = "timeout"
    print(json.dumps(line), flush=True)


def take_answers(peer):
    answers = peer.recv(4096)
    if not answers:
        sys.exit(4)
    for _ in range(answers.count(b"\n")):
        request = waiting.popleft()
        tell(request, time.time() <= request[0] + limit)


def expire():
    failed = [request for request in waiting if not request[2] and time.time() > request[0] + limit]
    for request in failed:
        tell(request, False)
    return bool(failed)


def is_held_up():
    if kind == "closed":
        return any(not told for _, _, told in waiting)
    return kind == "lazy" and any(time.time() > planned + 0.05 for planned, _, _ in waiting)


def main():
    ends = [time.time() + 6.5] if kind == "brief" else []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(time.time()))
    if kind == "tardy":
        time.sleep(2.5)
    peer = socket.create_connection((host, port))
    planned = time.time()
    while not ends or planned < ends[0] or any(not told for _, _, told in waiting):
        if select.select([peer], [], [], 0.005)[0]:
            take_answers(peer)
        if expire() and kind == "closed":
            planned = time.time()
        if time.time() < planned or (ends and planned >= ends[0]) or (kind == "closed" and is_held_up()):
            continue
        if not is_held_up():
            peer.sendall(b"PING\r\n")
            waiting.append([planned, planned if kind == "closed" else time.time(), False])
        planned += 1 / rate
    sys.exit(3 if kind == "brief" else 0)


main()
