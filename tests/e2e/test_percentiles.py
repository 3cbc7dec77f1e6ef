#!/usr/bin/env python3
"""Latency percentiles against an oracle that sorts: a server's own book of how long each request was kept, and the very latencies that
a generator of somebody else's printed. Of the whole load (exact, by the nearest rank) and of a run's baseline (pooled from codes of 1 part
in 4,000): each within 1 %.

beside: others
time-limit: 120
"""
import asyncio
import json
import math
import os
import random
import subprocess
import sys
import tempfile

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.environ.get("BUILD", os.path.join(top, "build"))
perturb = os.path.join(build, "perturb")
work = tempfile.mkdtemp()
failed = False

# Prints a request's line when its answer would be there, so that lines come as from a real generator; keeps them in a file as well.
GENERATOR = """
import heapq, json, random, sys, time
draw, offset = random.Random(7), time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
rate, seconds, book = float(sys.argv[1]), float(sys.argv[2]), open(sys.argv[3], "w")
start, due, index = time.time(), [], 0
while index < rate * seconds or due:
    if index < rate * seconds:
        planned = start + index / rate
        heapq.heappush(due, (planned + draw.lognormvariate(-4.5, 0.8), planned))
        index += 1
    until = start + index / rate if index < rate * seconds else float("inf")
    while due and due[0][0] <= until:
        done, planned = heapq.heappop(due)
        time.sleep(max(0, done - time.time()))
        print(json.dumps({"planned": planned, "latency_s": done - planned}), flush=True)
        print(planned - offset, done - planned, file=book, flush=True)
    if index < rate * seconds:
        time.sleep(max(0, until - time.time()))
"""


def point(number, name, problems):
    global failed
    failed |= bool(problems)
    print(f"{'not ok' if problems else 'ok'} {number} - {name}", flush=True)
    for problem in problems:
        print("#", problem, flush=True)


def ranked(values, share):
    """The nearest rank."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def compare(told, values, within, shares=(0.5, 0.9, 0.99)):
    problems = []
    for share in shares:
        name = f"p{share * 100:g}"
        truth = ranked(values, share)
        if told.get(name) is None or abs(told[name] / truth - 1) > within:
            problems.append(f"{name}: told {told.get(name)}, the oracle has {truth} of {len(values)}")
    return problems


def load(*arguments):
    told = subprocess.run([perturb, "load", "--format", "json", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(told.stdout)


async def serve_and_measure():
    """How long each request was kept, by the server's own clock, from its last byte to the answer's first."""
    kept, draw = [], random.Random(11)
    loop = asyncio.get_running_loop()

    async def answer(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                begin = loop.time()
                await asyncio.sleep(1 + min(2, draw.expovariate(2)))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                kept.append(loop.time() - begin)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    port = server.sockets[0].getsockname()[1]
    told = await loop.run_in_executor(None, lambda: load(f"http://127.0.0.1:{port}/", "--rate", "60/s", "--duration", "6s", "--timeout", "20s"))
    server.close()
    return told, kept


def own_generator():
    told, kept = asyncio.run(serve_and_measure())
    problems = [] if told["ok"] == len(kept) else [f"{told['ok']} of {len(kept)} requests came back"]
    return problems + compare(told["latency_s"], kept, 0.01)


def another_generator():
    book = os.path.join(work, "load.book")
    told = load("--parse", "json", "--", sys.executable, "-c", GENERATOR, "2000", "3", book)
    values = [float(line.split()[1]) for line in open(book, encoding="ascii")]
    return compare(told["latency_s"], values, 0.001, (0.5, 0.9, 0.99, 0.999))


PLAYBOOK = """
perturb: 1
title: Latencies that are known
lease: 1s
targets: {store: {command: [BUILD/sample-store, --port, "${port.store}"], ready: {tcp: "127.0.0.1:${port.store}"}}}
proxies: {store: {upstream: "127.0.0.1:${port.store}"}}
load:
  main: {command: {run: [PYTHON, WORK/generator.py, "400", "30", WORK/run.book]}}
  held: {resp: {url: "redis://${proxies.store.listen}"}, rate: 20/s}
steady-state-hypothesis: [{signal: held.goodput, min: 50%}]
method: [{fault: latency, proxy: store, latency: 10ms, for: 300ms}]
expect: {convergence: {band: 50%, hold: 1s, signals: [held.goodput]}}
"""


def a_baseline():
    book, name = os.path.join(work, "run.book"), os.path.join(work, "run.yaml")
    with open(os.path.join(work, "generator.py"), "w", encoding="ascii") as out:
        out.write(GENERATOR)
    with open(name, "w", encoding="ascii") as out:
        out.write(PLAYBOOK.replace("BUILD", build).replace("WORK", work).replace("PYTHON", sys.executable))
    done = subprocess.run([perturb, "run", name, "--out", os.path.join(work, "run")], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stdout.splitlines() + done.stderr.splitlines()
    with open(os.path.join(work, "run", "result.json"), encoding="utf-8") as file:
        result = json.load(file)
    zero = int(result["run"]["zero_ns"]) / 1e9
    problems = []
    for signal in result["signals"]:
        if signal["signal"] not in ("main.p50", "main.p99"):
            continue
        baseline, values = signal["baseline"], []
        for line in open(book, encoding="ascii"):
            planned, latency = map(float, line.split())
            if baseline["start_s"] <= planned - zero < baseline["end_s"]:
                values.append(latency)
        share = float(signal["signal"][6:]) / 100
        problems += compare({f"p{share * 100:g}": baseline["level"]}, values, 0.01, (share,))
    return problems


print("1..3", flush=True)
point(1, "percentiles of our own generator are the server's", own_generator())
point(2, "percentiles of what another generator printed are those of a sort", another_generator())
point(3, "percentiles of a run's baseline are those of a sort", a_baseline())
sys.exit(failed)
