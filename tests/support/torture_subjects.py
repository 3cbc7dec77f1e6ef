"""What is tortured: the commands of perturb, as a person gives them, and the unit tests."""

import glob
import os
import subprocess

from torture import BUILD, DOCUMENTED, PERTURB, Subject

BROKEN = """perturb: 1
title: A playbook with errors
targets: {store: {comand: [./store]}}
method: [{fault: latncy, target: store}]
"""

SMALL = f"""perturb: 1
title: A store behind a proxy
warmup: 0s
targets:
  store:
    command: [{BUILD}/sample-store, --port, "${{port.store}}"]
    ready: {{tcp: "127.0.0.1:${{port.store}}", timeout: 2s}}
proxies:
  wire: {{upstream: "127.0.0.1:${{port.store}}"}}
load:
  main: {{resp: {{url: "redis://${{proxies.wire.listen}}"}}, rate: 100/s}}
steady-state-hypothesis:
  - {{signal: main.goodput, min: 20%}}
method:
  - {{fault: latency, proxy: wire, latency: 5ms, for: 200ms}}
expect:
  convergence: {{band: 90%, hold: 200ms, bin: 5ms}}
observe: 1s
"""


OUTLETS = """outlets:
  chat: {kind: slack, url: "http://127.0.0.1:1/hook"}
"""


def writes(name, text):
    def prepare(here):
        with open(os.path.join(here, name), "w", encoding="utf-8") as file:
            file.write(text)

    return prepare


DUMP = """goroutine 5 [chan send, 3 minutes]:
main.f(0xc000010000, {0x1})
\t/src/main.go:12 +0x1d
created by main.main in goroutine 1
\t/src/main.go:8 +0x85

goroutine 6 [sync.Mutex.Lock]:
main.g(0xc000010060)
\t/src/main.go:20 +0x1d
"""


def series():
    """Ten minutes of a gauge that falls at 200 s and is back at 260 s."""
    rows = ["time,good"]
    for second in range(600):
        rows.append(f"{second},{40 if 200 <= second < 260 else 100 + second % 3}")
    return "\n".join(rows) + "\n"


def store_run(folder):
    """One stored run for the commands that read one. Returns its directory."""
    writes("small.yaml", SMALL)(folder)
    directory = os.path.join(folder, "run")
    environment = dict(os.environ, XDG_STATE_HOME=folder, PERTURB_REGISTRY=os.path.join(folder, "registry"))
    os.makedirs(environment["PERTURB_REGISTRY"], mode=0o700, exist_ok=True)
    done = subprocess.run([PERTURB, "run", os.path.join(folder, "small.yaml"), "--out", directory], env=environment, capture_output=True,
                          check=False)
    if not os.path.exists(os.path.join(directory, "result.json")):
        raise RuntimeError(done.stderr.decode())
    return directory


def apart(*argv):
    """The command in a registry of its own, where what makes it fail is not listed, halted or ended."""
    return ["env", "PERTURB_REGISTRY={here}/apart", PERTURB, *argv]


def commands(run):
    """`run` is the directory of a stored run."""
    under_exec = under_env = DOCUMENTED | {125, 126, 127}  # env(1) says the same of its own failures
    told = ["env", f"XDG_STATE_HOME={os.path.dirname(run)}", PERTURB]  # where the stored run is known
    return [
        Subject("check, a sound playbook", [PERTURB, "check", "playbooks/quickstart.yaml"]),
        Subject("check, a broken playbook", [PERTURB, "check", "{here}/broken.yaml"], prepare=writes("broken.yaml", BROKEN)),
        Subject("run --dry-run", [PERTURB, "run", "--dry-run", "--seed", "1", "playbooks/quickstart.yaml"], blur=rb"run [0-9]\S+|[0-9]{4,5}"),
        Subject("faults", [PERTURB, "faults"]),
        Subject("faults latency", [PERTURB, "faults", "latency"]),
        Subject("exec", [PERTURB, "exec", "--", "true"], under_exec),
        Subject("exec with a fault", [PERTURB, "exec", "--seed", "1", "-f", "alloc_fail:observe=true", "--", "true"], under_exec),
        Subject("exec to an address", [PERTURB, "exec", "--seed", "1", "-f", "latency:1ms,to=127.0.0.1:9", "--", "true"], under_exec),
        Subject("exec, supervised", [PERTURB, "exec", "--seed", "1", "--backend", "seccomp", "-f", "fail@fsync:EIO", "--", "true"], under_exec),
        Subject("doctor", [PERTURB, "doctor", "/bin/bash"]),
        Subject("ps", apart("ps"), under_env),
        Subject("disarm", apart("disarm", "--all"), under_env),
        Subject("halt", apart("halt"), under_env),
        Subject("resume", apart("resume"), under_env),
        Subject("panic", apart("panic"), under_env),
        Subject("recover", apart("recover"), under_env),
        Subject("runs", [PERTURB, "runs"]),
        Subject("report as text", [PERTURB, "report", run]),
        Subject("report as JSON", [PERTURB, "report", run, "--format", "json"]),
        Subject("report as HTML", [PERTURB, "report", run, "--format", "html"]),
        Subject("diagnose", [PERTURB, "diagnose", "--format", "json", "{here}/dump"], prepare=writes("dump", DUMP)),
        Subject("compare", [*told, "compare", "last", "last"], under_env),
        Subject("trend", [*told, "trend", os.path.join(os.path.dirname(run), "small.yaml")], under_env),
        Subject("findings", [*told, "findings", "--all"], under_env),
        Subject("watch", [PERTURB, "watch", run]),
        Subject("mark", apart("mark", "note", "seen"), under_env),
        Subject("arm", apart("arm", "nobody", "latency@fsync:1ms", "--for", "1s"), under_env),
        Subject("attach", apart("attach", "2147483000"), under_env),
        Subject("detach", apart("detach", "2147483000"), under_env),
        Subject("init", [PERTURB, "init", "--out", "{here}/new.yaml"]),
        Subject("load", [PERTURB, "load", "tcp://127.0.0.1:1", "--rate", "50/s", "--duration", "100ms"], same_output=False),
        Subject("outlets", [PERTURB, "outlets", "check", "{here}/outlets.yaml"], prepare=writes("outlets.yaml", OUTLETS)),
        Subject("serve openapi", [PERTURB, "serve", "openapi"]),
        Subject("serve token add", [PERTURB, "serve", "token", "add", "x", "--data", "{here}"], same_output=False),
        Subject("serve, told to end", [PERTURB, "serve", "--listen", "127.0.0.1:0", "--data", "{here}/data"], same_output=False, end_s=1),
        Subject("proxy, told to end", [PERTURB, "proxy", "-port", "0"], same_output=False, end_s=1),
        Subject("estimate", [PERTURB, "estimate", "{here}/series.csv", "--inject", "200", "--release", "250"], prepare=writes("series.csv", series())),
    ]


def whole_run():
    """A run with guardian, wire executor, proxy, load and report. Its figures differ from run to run."""
    return Subject("run", [PERTURB, "run", "{here}/small.yaml", "--out", "{here}/run"], prepare=writes("small.yaml", SMALL), same_output=False)


def unit_tests(names=None):
    found = sorted(path for path in glob.glob(os.path.join(BUILD, "tests/unit/test_*")) if os.access(path, os.X_OK))
    return [Subject(f"unit/{os.path.basename(path)}", [path], cmocka=True) for path in found
            if names is None or os.path.basename(path) in names]
