#!/usr/bin/env python3
# perturb init on programs nobody here wrote: what it saw is compared with what the test knows of them, and what it wrote is run.
# Needs redis-server, nginx and etcd (Go). The runs go side by side: they wait more than they work.
# time-limit: 300
# beside: others
import os, re, signal, socket, subprocess, sys, tempfile, time

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))
PERTURB = os.path.join(BUILD, "perturb")
SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
points = []


def point(name, good, detail=""):
    points.append(good)
    print(f"{'ok' if good else 'not ok'} {len(points)} - {name}", flush=True)
    if not good and detail:
        print("\n".join("# " + line for line in str(detail).splitlines()), flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def init(*words, cwd=None):
    return subprocess.run([PERTURB, "init", *words], cwd=cwd, capture_output=True, text=True, timeout=120 * SCALE)


def listening(port):
    deadline = time.monotonic() + 10 * SCALE
    while time.monotonic() < deadline:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


def read(path):
    with open(path) as file:
        return file.read()


def redis_alone(here):
    port = free_port()
    path = os.path.join(here, "redis.yaml")
    words = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    done = init("--for", "2s", "--rate", "20/s", "--out", path, "--", *words)
    point("redis-server alone: a playbook", done.returncode == 0, done.stderr)
    text = read(path)
    point("its port is in it, found by asking", f"listens   127.0.0.1:{port}" in text and "command: [PING]" in text, text)
    point("its command is in it, word for word", f'[redis-server, --bind, "127.0.0.1", --port, "{port}", --save, "", --appendonly, "no"]' in text, text)
    point("nothing runs any more", not subprocess.run(["pgrep", "-f", f"redis-server.*:{port}"], capture_output=True).stdout)
    return path


def nginx_before_python(here, children):
    front, back = free_port(), free_port()
    children.append(subprocess.Popen([sys.executable, "-m", "http.server", str(back), "--bind", "127.0.0.1"], cwd=here,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    point("the upstream listens", listening(back))
    conf = os.path.join(here, "nginx.conf")
    folders = "".join(f"{kind}_temp_path {here}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(conf, "w") as file:
        file.write(f"daemon off; worker_processes 2; pid {here}/nginx.pid; error_log stderr; events {{}}\n"
                   f"http {{ access_log off; {folders} server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://127.0.0.1:{back}; }} }} }}\n")
    path = os.path.join(here, "nginx.yaml")
    done = init("--for", "2s", "--rate", "20/s", "--out", path, "--", "nginx", "-c", conf)
    point("nginx before a server: a playbook", done.returncode == 0, done.stderr)
    text = read(path)
    seen = re.search(rf"connects  127\.0\.0\.1:{back} +nginx  (\d+) times, (\d+) of them under the load", text)
    asked = re.search(r"(\d+) requests, ([0-9.]+) % of them good", text)
    answered = asked and round(int(asked[1]) * float(asked[2]) / 100) # on a busy machine some are given up before nginx sees them
    point("each request that was answered is a connect to the upstream, and no other was counted",
          seen and asked and 0 < answered <= int(seen[2]) <= int(asked[1]) and int(seen[1]) >= int(seen[2]), text)
    point("the upstream is captured, nginx was not told", f"capture: {{tcp: {back}, to: \"127.0.0.1/32\", target: nginx, via: shim}}" in text, text)
    return path


def etcd_by_itself(here):
    client, peer = free_port(), free_port()
    path = os.path.join(here, "etcd.yaml")
    done = init("--for", "2s", "--rate", "20/s", "--load", f"http://127.0.0.1:{client}/health", "--ready", f"http://127.0.0.1:{client}/health", "--out", path, "--",
                "etcd", "--data-dir", os.path.join(here, "etcd"), "--listen-client-urls", f"http://127.0.0.1:{client}",
                "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}")
    point("a Go program: a playbook", done.returncode == 0, done.stderr)
    text = read(path)
    point("its listens and connects are seen without a library in it",
          all(f"listens   127.0.0.1:{port}" in text for port in (client, peer)) and f"connects  127.0.0.1:{client}" in text, text)
    return path


def refusals(here):
    kept = os.path.join(here, "kept.yaml")
    with open(kept, "w") as file:
        file.write("mine\n")
    done = init("--out", kept, "--", "redis-server")
    point("a file that exists is kept", done.returncode == 69 and "--force" in done.stderr and read(kept) == "mine\n", done.stderr)
    done = init("--out", os.path.join(here, "a.yaml"), "--", "sh", "-c", "echo cannot find my data >&2; exit 3")
    point("a program that ends at once: its status and last words", done.returncode == 69 and "status 3" in done.stderr and
          "cannot find my data" in done.stderr, done.stderr)
    done = init("--out", os.path.join(here, "b.yaml"), "--", "/nonexistent")
    point("a program that is not there", done.returncode == 69 and "No such file" in done.stderr, done.stderr)
    done = init("--load", "ftp://x", "--", "true")
    point("a load that is none", done.returncode == 64, done.stderr)
    done = init("--for", "1s")
    point("options without a program", done.returncode == 64, done.stderr)
    point("nothing was written", not [name for name in ("a.yaml", "b.yaml") if os.path.exists(os.path.join(here, name))])


def interrupted(here):
    port = free_port()
    path = os.path.join(here, "odd.yaml")
    words = [sys.executable, "-c", "import sys, http.server as h; sys.argv[1] == 'a \"b\" ${c} \\\\ \\u00e9' or sys.exit(9);"
             f"h.ThreadingHTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()", 'a "b" ${c} \\ \u00e9']
    child = subprocess.Popen([PERTURB, "init", "--out", path, "--", *words], stderr=subprocess.PIPE, text=True, cwd=here)
    line = child.stderr.readline()
    try:
        child.wait(1.5)
    except subprocess.TimeoutExpired:
        pass
    child.send_signal(signal.SIGINT)
    point("without --for, Ctrl-C ends the watch and the playbook is written", child.wait(20 * SCALE) == 0 and "until Ctrl-C" in line, child.stderr.read())
    checked = subprocess.run([PERTURB, "check", path], capture_output=True, text=True)
    point("words with quotes, '${' and letters beyond ASCII read as they were", checked.returncode == 0 and '$${c}' in read(path), checked.stderr + read(path))
    return path


def run_all(files, here):
    """All at once. A run that decided nothing, because of a busy machine, is run again."""
    results = {}
    for _ in range(4):
        left = [path for path in files if path not in results or re.search("(load|baseline)_unfit", results[path][1])]
        runs = {path: subprocess.Popen([PERTURB, "run", path], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for path in left}
        for path, run in runs.items():
            output = run.communicate(timeout=150 * SCALE)[0]
            results[path] = (run.returncode, output)
    return results


def main():
    children = []
    with tempfile.TemporaryDirectory() as here:
        try:
            made = [redis_alone(here), nginx_before_python(here, children), etcd_by_itself(here), interrupted(here)]
            refusals(here)
            done = init(cwd=here)
            made.append(os.path.join(here, "perturb.yaml"))
            point("without a program: a starter", done.returncode == 0 and os.path.exists(made[-1]), done.stderr)
            for path, (status, output) in run_all(made, here).items():
                fired = re.search(r"fired ([1-9][0-9]*) of", output)
                point(f"{os.path.basename(path)} passes when run, and its fault acted", status == 0 and fired, output)
        finally:
            for child in children:
                child.kill()
                child.wait()
    print(f"1..{len(points)}")
    sys.exit(0 if all(points) else 1)


main()
