# Killing the process that tells a run, again and again, at random instants; what is told in the end is judged by the receiver.
import json, os, random, signal, subprocess, time

from outlet_peers import Receiver

MOMENTS = 12  # faults, each injected and released


def write_run(work, run, moments=MOMENTS):
    """A run that has ended, of so many faults. Returns its place in the outbox and the moments that are to be told."""
    directory, outbox = f"{work}/{run}", f"{work}/state/perturb/outbox/{run}"
    os.makedirs(directory, 0o700)
    os.makedirs(outbox, 0o700)
    ns, lines, told = time.monotonic_ns(), [], ["started"]

    def add(kind, **fields):
        lines.append(json.dumps({"seq": len(lines) + 1, "clock": "monotonic", "ns": str(ns + len(lines) * 1000000), "source": "runner", "epoch": 0, "kind": kind,
                                 "fields": fields}, separators=(",", ":")))

    add("run_started", run=run)
    for i in range(moments):
        add("phase", phase=f"phase {i}")
        add("fault_armed", fault=f"fault-{i}")
        add("fault_acted", fault=f"fault-{i}")
        add("fault_released", fault=f"fault-{i}", matched=i, fired=i)
        told += [f"injected fault-{i}", f"released fault-{i}"]
    with open(directory + "/events.jsonl", "w") as f:
        f.write("\n".join(lines) + "\n")
    with open(directory + "/result.json", "w") as f:
        json.dump({"schema": 1, "run": {"id": run}, "verdict": {"verdict": "converged", "status": 0, "why": ""}}, f)
    with open(outbox + "/run.json", "w") as f:
        json.dump({"run": run, "directory": directory, "title": "killed", "service": "", "playbook": "killed", "tags": [], "pid": 0, "pid_start": "1",
                   "wall_offset_ns": str(time.time_ns() - time.monotonic_ns())}, f)
    return outbox, told + ["ended"]


def what(body):
    document = json.loads(body)
    return document["event"] + (" " + document["fault"]["name"] if "fault" in document else "")


def ordeal(perturb, work, env, kills, seed):
    """Returns (how many kills hit a living process, what is wrong: "" for nothing)."""
    draw = random.Random(seed)
    peer = Receiver()
    config = work + "/kills.yaml"
    with open(config, "w") as f:
        f.write(f"outlets: {{hook: {{kind: webhook, url: 'http://127.0.0.1:{peer.port}/hook'}}, other: {{kind: webhook, url: 'http://127.0.0.1:{peer.port}/other'}}}}\n"
                "egress: {loopback: all}\n")
    hits, number, wrong = 0, 0, ""
    while hits < kills and not wrong and number < 20 * kills:
        number += 1
        outbox, told = write_run(work, f"20270101-000000-{number:04d}")
        for _ in range(6):
            process = subprocess.Popen([perturb, "outlets", "follow", config, outbox], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(draw.uniform(0.002, 0.25))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                hits += 1
        flushed = subprocess.run([perturb, "outlets", "flush", config], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for path in ("/hook", "/other"):
            got = peer.of(path)
            names = [what(g[3]) for g in got]
            ids = {}
            for name, g in zip(names, got):
                ids.setdefault(name, set()).add(g[2]["X-Perturb-Delivery"])
            if list(dict.fromkeys(names)) != told or any(len(i) != 1 for i in ids.values()) or os.path.exists(outbox):
                wrong = f"run {number} {path}: told {names}, {flushed.stdout}, left {os.path.exists(outbox)}"
        with peer.lock:
            peer.got.clear()
    peer.close()
    return hits, wrong
