#!/usr/bin/env python3
# A run started over the API with outlets of every kind in serve.yaml: each receiver is told what it should be, once; one that takes the
# connection and never answers holds nothing up, neither the run nor what the others are told.
# beside: others
import json, os, socket, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import serve
from outlet_peers import SCALE, Alertmanager, Receiver, check_metrics, check_trace, until
from serve import point

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
peer = Receiver()
mute = socket.socket()  # takes connections, and that is all
mute.bind(("127.0.0.1", 0))
mute.listen(16)
at = f"http://127.0.0.1:{peer.port}"
service = serve.Service("outlets-api")
manager = Alertmanager(service.base)
service.write("serve.yaml", f"""
outlets:
  mute:   {{kind: webhook, url: "http://127.0.0.1:{mute.getsockname()[1]}/", timeout: 30s}}
  hook:   {{kind: webhook, url: "{at}/hook"}}
  chat:   {{kind: slack, url: "{at}/chat", on: [ended]}}
  boards: {{kind: grafana, url: "{at}/"}}
  pager:  {{kind: alertmanager, url: "http://127.0.0.1:{manager.port}", silence: ["service=shop"], alert: true}}
  traces: {{kind: otlp, url: "{at}/otlp"}}
egress: {{loopback: all, drain: 1s}}
""")


def events(run):
    lines = serve.read(f"{service.data}/runs/{run}/events.jsonl").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def instant(run, kind):
    return next((int(event["ns"]) / 1e9 for event in events(run) if event["kind"] == kind), None)


def bodies(prefix):
    return [json.loads(got[3]) for got in peer.of(prefix)]


try:
    point("the service starts", service.start())
    status, answer = service.ask("POST", "/runs", {"playbook": "quick.yaml"})
    run = (answer or {}).get("id", "")
    point("the run is started", status == 202, answer)
    silenced = until(lambda: manager.silences("active"), 15)
    order = service.ended(run)
    noticed_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    point("it ends as it would without outlets", order.get("outcome") == "ended" and order["status"] in (0, 2), order)
    ended_s, armed_s, released_s = instant(run, "run_ended"), instant(run, "fault_armed"), instant(run, "fault_released")
    point("who never answers has not held it up: neither its fault nor its end", ended_s and released_s - armed_s < 1 + 2 * SCALE and noticed_s - ended_s < 1 + 6 * SCALE,
          [armed_s, released_s, ended_s, noticed_s])
    point("its alerts were silenced, and are not any more", silenced and until(lambda: not manager.silences("active"), 10), manager.ask("silences"))
    told = until(lambda: len(bodies("/hook")) >= 4 and peer.of("/chat") and len(peer.of("/api/annotations")) >= 3 and peer.of("/otlp/v1/traces"), 10)
    hooks = bodies("/hook")
    point("webhook: each moment of this run once, in order", told and [body["event"] for body in hooks] == ["started", "injected", "released", "ended"] and
          {body["run"]["id"] for body in hooks} == {run}, hooks)
    chats = bodies("/chat")
    point("slack: the end, once", len(chats) == 1 and run in chats[0]["text"] and "a store behind a slow wire" in chats[0]["text"], chats)
    notes = [(got[0], got[1].rsplit("/", 1)[0] if got[0] == "PATCH" else got[1]) for got in peer.of("/api/annotations")]
    point("grafana: a region opened and closed, the verdict", notes == [("POST", "/api/annotations"), ("PATCH", "/api/annotations"), ("POST", "/api/annotations")], notes)
    traces = [check_trace(body) for body in bodies("/otlp/v1/traces")]
    active = [check_metrics(body)["perturb.run.active"][0][0] for body in bodies("/otlp/v1/metrics")]
    point("otlp: one trace, and metrics whose last says that it is over", len(traces) == 1 and active[-1:] == [0], [len(traces), active])
    point("alertmanager: no alert, for none was earned", not manager.alerts("PerturbRunFailed") and not manager.alerts("PerturbUndoNotProven"), manager.ask("alerts"))
    look = lambda: service.ask("GET", "/outlets")[1]["items"]
    point("the service says who waits: the mute one alone, and nothing was given up", until(lambda: [row["name"] for row in look() if row["waiting"]] == ["mute"], 10) and
          not any(int(row["dropped"]) for row in look()), look())
finally:
    mute.close()
    service.remove()
    manager.close()
    peer.close()
serve.finish()
