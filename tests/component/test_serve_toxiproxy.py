#!/usr/bin/env python3
# Toxiproxy's API beside the service: it is there, it and what goes through it stay over a restart, and it goes with the service.
# beside: others
import http.client, os, socket, sys

sys.path.insert(0, "tests/support")
from serve import *


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def proxies(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/proxies", timeout=5) as answer:
            return sorted(json.loads(answer.read()))
    except (OSError, http.client.HTTPException, ValueError):
        return None


def children(pid):
    return [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]


port = free_port()
upstream = socket.create_server(("127.0.0.1", 0))
service = Service("beside")
point("the service starts", service.start("--toxiproxy", f"127.0.0.1:{port}"), service.said())
body = {"name": "store", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:%d" % upstream.getsockname()[1]}
made = urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/proxies", data=json.dumps(body).encode(), method="POST"), timeout=5)
listen = json.loads(made.read())["listen"]
client = socket.create_connection(("127.0.0.1", int(listen.rsplit(":", 1)[1])))
server = upstream.accept()[0]
client.sendall(b"a")
point("bytes go through it", server.recv(1) == b"a")
owner = [pid for pid in children(service.process.pid) if b"proxy" in open(f"/proc/{pid}/cmdline", "rb").read()]

before = len(service.said())
service.process.send_signal(signal.SIGHUP)
point("the service restarts", until(lambda: "perturb serves at" in service.said()[before:]), service.said())
client.sendall(b"b")
server.settimeout(5 * SCALE)
point("a connection lives through that", server.recv(1) == b"b")
point("and so do proxy and process", proxies(port) == ["store"] and set(owner) <= set(children(service.process.pid)), f"{proxies(port)} {owner}")

other = Service("taken")
status, said = other.refused("--toxiproxy", f"127.0.0.1:{port}")
point("a port that is taken is told", status == 69 and "something answers there already" in said, f"{status} {said}")
status, said = other.refused("--toxiproxy", "nonsense")
point("so is a bad address", status == 64 and "expected ADDRESS:PORT" in said, f"{status} {said}")

# ---- it ends alone
def proxy_of():
    found = [pid for pid in children(service.process.pid) if "proxy" in read(f"/proc/{pid}/cmdline") and alive(pid)]
    return found[0] if found else 0


def told():
    service.url = re.findall(r"perturb serves at (\S+)", service.said())[-1]  # another port each time
    return [text for text in service.ask("GET", "/status")[1]["problems"] if "--toxiproxy" in text]


point("no problem is told while it runs", told() == [], told())
for number in (signal.SIGKILL, signal.SIGTERM):
    ended = proxy_of()
    os.kill(ended, number)
    point("ended alone, it is started again, without what was made through it", until(lambda: proxy_of() not in (0, ended) and proxies(port) == []))
owner = [proxy_of()]
point("the status tells it as a problem, with how it ended", any("signal 9" in text for text in told()) and len(told()) == 2, told())
point("and so does what the service says", service.said().count("ended by itself") == 2, service.said())
service.process.send_signal(signal.SIGSTOP)
os.kill(owner[0], signal.SIGKILL)
service.process.send_signal(signal.SIGHUP)
service.process.send_signal(signal.SIGCONT)
point("also when that meets a restart of the service", until(lambda: proxy_of() not in (0, owner[0]) and proxies(port) == []), service.said())
owner = [proxy_of()]

service.kill()
point("it goes with the service, however that ends", until(lambda: proxies(port) is None))
point("and nothing of it stays", until(lambda: not any(alive(pid) for pid in owner)), owner)
service.remove()
other.remove()
finish()
