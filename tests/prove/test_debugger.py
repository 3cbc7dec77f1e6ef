#!/usr/bin/env python3
# The run engine stands at the prompt of a real gdb, its lease is far away: Halt by the API, the one of the command line, and an abort
# still end the fault within a second, as a client of the proxy sees it; the run is undone and accounted for.
# time-limit: 240
import shutil, sys, threading

sys.path.insert(0, "tests/support")
from serve import *

SLOW_S, QUICK_S, WITHIN_S = 0.4, 0.2, 1.0


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def serve_echo():
    """What the proxy leads to: it is the test's own, so it is there when the run and its targets have gone."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(peer):
        while data := peer.recv(64):
            peer.sendall(data)

    def accept():
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def runner_of(guardian):
    for pid in read(f"/proc/{guardian}/task/{guardian}/children").split():
        if read(f"/proc/{pid}/comm").strip() == "perturb-runner":
            return int(pid)
    return 0


def echo_s(peer):
    """How long one answer takes; None when the connection is dead."""
    begin = time.monotonic()
    try:
        peer.sendall(b"a")
        return time.monotonic() - begin if peer.recv(1) == b"a" else None
    except OSError:
        return None


def hold(runner):
    debugger = subprocess.Popen(["gdb", "-q", "-nx", "-iex", "set debuginfod enabled off", "-p", str(runner)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def stands():
        states = [read(f"/proc/{runner}/task/{thread}/stat").rsplit(")", 1)[1].split()[0] for thread in os.listdir(f"/proc/{runner}/task")]
        return all(state == "t" for state in states)
    return debugger, until(stands, 30)


def write_playbook(service, port, upstream):
    text = QUICK.replace("lease: 1s", "lease: 30s")
    text = text.replace("proxies:\n", f'proxies:\n  probe: {{listen: "127.0.0.1:{port}", upstream: "127.0.0.1:{upstream}"}}\n')
    service.write("playbooks/held.yaml", text.replace("latency, proxy: store", "latency, proxy: probe"))


def release_by(service, name, upstream, ask):
    port = free_port()
    write_playbook(service, port, upstream)
    run = service.ask("POST", "/runs", {"playbook": "held.yaml", "vars": {"latency": f"{int(SLOW_S * 1000)}ms", "length": "25s"}})[1]["id"]
    guardian = service.running(run)
    point(f"{name}: the fault acts", service.armed(run))
    peer = socket.create_connection(("127.0.0.1", port), timeout=5 * SCALE)
    echo_s(peer)  # the first meets the arming
    took = echo_s(peer)
    point(f"{name}: a client sees it", took and took >= SLOW_S, took)
    debugger, stands = hold(runner_of(guardian))
    point(f"{name}: the engine stands in gdb", stands)
    begin = time.monotonic()
    ask(service, run)
    while (took := echo_s(peer)) is not None and took > QUICK_S and time.monotonic() < begin + 20 * SCALE:
        pass
    gone = time.monotonic() - begin
    print(f"# {name}: {gone * 1000:.0f} ms to the first quick answer", flush=True)
    point(f"{name}: the fault is gone within a second", took is not None and gone < WITHIN_S * SCALE, f"{took} {gone}")
    row = service.ended(run)
    point(f"{name}: the run was fenced and says why", row.get("status") == 3 and row.get("outcome") == "aborted", row)
    point(f"{name}: nothing of it is left, though gdb still stands there", debugger.poll() is None and until(lambda: not marked(run)) and
          until(lambda: not os.listdir(f"{service.registry}/runs")), marked(run))
    debugger.kill()
    debugger.wait()
    peer.close()
    service.ask("POST", "/resume", {})


def main():
    if not shutil.which("gdb"):
        skip("a run engine in a debugger", "there is no gdb")
        return
    service = Service("debugger")
    service.start()
    upstream = serve_echo()
    release_by(service, "POST /halt", upstream, lambda service, run: service.ask("POST", "/halt", {}))
    release_by(service, "perturb halt", upstream, lambda service, run: subprocess.Popen([PERTURB, "halt"], env=service.environment, stdout=subprocess.DEVNULL).wait())
    release_by(service, "POST abort", upstream, lambda service, run: service.ask("POST", f"/runs/{run}/abort", {}))
    service.remove()


main()
finish()
