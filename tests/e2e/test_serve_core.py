#!/usr/bin/env python3
# beside: others
# The service's core by the real program: queue, limits, adoption after SIGKILL, restart, the lever, schedules and suites, bad stores.
# time-limit: 240
import os, sys, time

sys.path.insert(0, "tests/support")
from serve import *


def errors_of(answer):
    return "; ".join(error["message"] for error in (answer or {}).get("errors", []))


def events(service, run):
    return read(f"{service.data}/runs/{run}/events.jsonl")


def outcome(service, run):
    return json.loads(read(f"{service.data}/runs/{run}/result.json") or "{}").get("verdict", {}).get("why", "")


# ---- what is refused ---------------------------------------------------------------------------------------------------------------
def refusals():
    service = Service("refuse", "max_faults: 2\nallow: {tags: [weekly]}\nprotected: {ports: [9999], paths: [/srv]}\n"
                                "metrics: ['http://127.0.0.1:9090/x']\n")
    service.start()
    port = service.url.rsplit(":", 1)[1]
    bent = {
        "own.yaml": ('upstream: "127.0.0.1:${port.store}"', f'upstream: "localhost:{port}"', "controller's own address"),
        "metrics.yaml": ('upstream: "127.0.0.1:${port.store}"', 'upstream: "127.0.0.1:9090"', "metrics path"),
        "port.yaml": ('upstream: "127.0.0.1:${port.store}"', 'upstream: "10.1.2.3:9999"', "protected port"),
        "pid.yaml": ("targets:\n", f"targets:\n  self: {{pid: {service.process.pid}}}\n", "the controller itself"),
        "fill.yaml": ("method:\n", f"method:\n  - {{fault: disk_fill, path: {service.data}, size: 1MiB}}\n", "controller's store"),
        "path.yaml": ("method:\n", "method:\n  - {fault: disk_full, target: store, path: /srv/x}\n", "protected with /srv"),
        "many.yaml": ("method:\n", "method:\n" + "  - {fault: latency, proxy: store, latency: 1ms, for: 1s}\n" * 3, "allows 2"),
        "tag.yaml": ("tags: [weekly]", "tags: [other]", "none of the tags"),
    }
    for name, (old, new, said) in bent.items():
        service.write("playbooks/" + name, QUICK.replace(old, new))
        status, answer = service.ask("POST", "/runs", {"playbook": name})
        point(f"refused: {name}", status == 403 and said in errors_of(answer), f"{status} {answer}")
    for name in ("../serve.yaml", "/etc/passwd", "a/../../x.yaml"):
        status, answer = service.ask("POST", "/runs", {"playbook": name})
        point(f"no name of a playbook: {name}", status == 422, f"{status} {answer}")
    os.symlink("/etc/passwd", os.path.join(service.data, "playbooks/link.yaml"))
    status, answer = service.ask("POST", "/runs", {"playbook": "link.yaml"})
    point("a link that leads out is no playbook", status == 422 and "leads out" in errors_of(answer), answer)
    point("there is no such playbook", service.ask("POST", "/runs", {"playbook": "none.yaml"})[0] == 404)
    point("nothing was started", service.query("SELECT count(*) FROM run_order") == [(0,)])
    status, answer = service.ask("POST", "/runs", {"playbook": "refused.yaml"})
    row = service.ended(answer["id"])
    point("a run that its own check refuses says why in its record", row["outcome"] == "refused" and row["status"] == 69 and "/nonexistent/program" in row["reason"], row)
    service.remove()


def opt_in():
    service = Service("optin", f"require_opt_in: true\nopt_in_file: {tempfile.gettempdir()}/optin-{os.getpid()}\n")
    agreed = subprocess.Popen(["sleep", "60"], env=dict(os.environ, PERTURB_OPT_IN="1"))
    other = subprocess.Popen(["sleep", "60"])
    service.start()
    for name, process, wanted in (("agreed", agreed, 202), ("other", other, 403)):
        service.write(f"playbooks/{name}.yaml", QUICK.replace("targets:\n", f"targets:\n  it: {{pid: {process.pid}}}\n").replace("sample-store", "missing"))
        status, answer = service.ask("POST", "/runs", {"playbook": f"{name}.yaml"})
        point(f"a process that has {'agreed' if wanted == 202 else 'not agreed'}", status == wanted and (wanted == 202 or "PERTURB_OPT_IN" in errors_of(answer)), answer)
    service.write("playbooks/unit.yaml", QUICK.replace("targets:\n", "targets:\n  it: {unit: shop.service}\n").replace("sample-store", "missing"))
    status, answer = service.ask("POST", "/runs", {"playbook": "unit.yaml"})
    point("a unit without its line", status == 403 and "no line 'unit shop.service'" in errors_of(answer), answer)
    path = f"{tempfile.gettempdir()}/optin-{os.getpid()}"
    with open(path, "w") as file:
        file.write("port 1\nunit shop.service\n")
    os.chmod(path, 0o666)
    point("a file that others may write says nothing", service.ask("POST", "/runs", {"playbook": "unit.yaml"})[0] == 403)
    os.chmod(path, 0o644)
    status, answer = service.ask("POST", "/runs", {"playbook": "unit.yaml"})
    point("a unit with its line", status == 202, answer)
    os.unlink(path)
    for process in (agreed, other):
        process.kill()
        process.wait()
    service.remove()


# ---- runs and lives of the service ---------------------------------------------------------------------------------------------------
def lives():
    service = Service("lives")
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind(os.path.join(service.base, "notify"))
    inbox.settimeout(10 * SCALE)

    def heard(word):
        said = ""
        while word not in said:
            try:
                said += inbox.recv(4096).decode() + "\n"
            except socket.timeout:
                return False
        return True
    service.start(NOTIFY_SOCKET=os.path.join(service.base, "notify"), WATCHDOG_USEC="400000")
    point("READY is told", heard("READY=1"))
    point("the watchdog is fed", heard("WATCHDOG=1"))
    status, answer = service.refused()
    point("a second service on the same data is refused", status == 69 and "another `perturb serve`" in answer, f"{status} {answer}")
    first = service.ask("POST", "/runs", {"playbook": "quick.yaml", "repeat": 2, "vars": {"length": "2s"}})[1]
    second = service.query("SELECT id FROM run_order WHERE id <> ?", first["id"])[0][0]
    point("the first runs, what would meet it waits", first["state"] == "running" and service.order(second)["state"] == "queued")
    point("both are one batch", service.order(second)["batch"] == first["id"])
    guardian = service.running(first["id"])
    point("the run has a session of its own", guardian and os.getsid(guardian) == guardian)
    point("the run is not told of the service's notify socket, and has the zone of whoever started it",
          "NOTIFY_SOCKET" not in read(f"/proc/{guardian}/environ") and "TZ=America/St_Johns" in read(f"/proc/{guardian}/environ"))
    service.process.send_signal(signal.SIGHUP)
    point("RELOADING is told, then READY again", heard("RELOADING=1") and heard("READY=1"))
    point("started anew in the same process, the run lives", service.process.poll() is None and alive(guardian))
    service.kill()
    point("the run outlives a killed service", alive(guardian))
    point("a new service starts", service.start())
    row = service.ended(first["id"])
    point("it adopts the run, which ends by itself", row["outcome"] == "ended" and row["status"] in (0, 1, 2), row)
    guardian = service.running(second)
    point("what waited runs then", guardian)
    service.armed(second)
    service.write("playbooks/changed.yaml", QUICK)
    changed = service.ask("POST", "/runs", {"playbook": "changed.yaml"})[1]
    service.write("playbooks/changed.yaml", QUICK.replace('upstream: "127.0.0.1:${port.store}"', f'upstream: "{service.url[7:]}"'))
    status, answer = service.ask("POST", f"/runs/{second}/abort", {"reason": "enough"})
    row = service.ended(second)
    point("an aborted run says by whom and why", status == 202 and row["outcome"] == "aborted" and row["status"] == 3 and row["reason"] == "aborted by local: enough", row)
    point("one that has ended is not aborted again", service.ask("POST", f"/runs/{second}/abort", {})[0] == 409)
    row = service.ended(changed["id"])
    point("a playbook that was changed while it waited is judged anew", changed["state"] == "queued" and row["outcome"] == "refused" and
          "controller's own address" in row["reason"], row)
    third = service.ask("POST", "/runs", {"playbook": "quick.yaml", "vars": {"length": "20s"}})[1]["id"]
    guardian = service.running(third)
    service.armed(third)
    service.kill()
    os.kill(guardian, signal.SIGKILL)
    service.start()
    row = service.ended(third)
    until(lambda: service.order(third)["undo"], 30)
    row = service.order(third)
    point("a run whose guardian was killed too is accounted for and proven undone",
          row["outcome"] in ("interrupted", "aborted") and (row["outcome"] == "aborted" or "proven" in (row["undo"] or "")), row)
    point("nothing of it is left", until(lambda: not marked(third) and not os.listdir(f"{service.registry}/runs"), 30), f"{marked(third)}")
    fourth = service.ask("POST", "/runs", {"playbook": "quick.yaml", "vars": {"length": "20s"}})[1]["id"]
    service.armed(fourth)
    point("SIGTERM ends the service well", service.stop() == 0)
    row = service.order(fourth)
    point("after its run was aborted, with undo", row["outcome"] == "aborted" and row["status"] == 3 and not marked(fourth), row)
    service.remove()


def lever():
    service = Service("lever")
    service.start()
    first = service.ask("POST", "/runs", {"playbook": "quick.yaml", "repeat": 2, "vars": {"length": "20s"}})[1]["id"]
    second = service.query("SELECT id FROM run_order WHERE id <> ?", first)[0][0]
    service.armed(first)
    terminal = subprocess.Popen([PERTURB, "halt"], env=service.environment, stdout=subprocess.DEVNULL)
    until(lambda: '"aborted"' in events(service, first))
    answers = [service.ask("POST", "/halt", {}), service.ask("POST", "/halt", {})]
    point("halt again, from elsewhere, is answered alike", all(status == 200 and answer["lever"] == "engaged" for status, answer in answers), answers)
    point("halt from a terminal", terminal.wait(60 * SCALE) == 0)
    point("the run was aborted", service.ended(first)["outcome"] == "aborted", service.order(first))
    point("and came to its tidy end: it observed and reported", '"observe"' in events(service, first) and '"run_ended"' in events(service, first) and
          "interrupted" not in service.order(first)["reason"], service.order(first))
    row = service.ended(second)
    point("what waited never starts", row["outcome"] == "cancelled" and "lever" in row["reason"], row)
    point("the lever is seen", service.ask("GET", "/status")[1]["lever"] == "engaged")
    status, answer = service.ask("POST", "/runs", {"playbook": "refused.yaml"})
    point("nothing starts", status == 403 and "lever" in errors_of(answer), answer)
    service.kill()
    os.unlink(os.path.join(service.registry, "lever")) # as a boot does, when the registry lies on a tmpfs
    service.change("UPDATE setting SET value = 'engaged 1767225600 1' WHERE name = 'lever'")
    service.start()
    status = service.ask("GET", "/status")[1]
    point("it stays engaged over a boot, since when it was", status["lever"] == "engaged" and status["lever_since"] == "2026-01-01T00:00:00Z" and
          os.path.exists(os.path.join(service.registry, "lever")), status)
    service.perturb("resume")
    point("and is released by resume", until(lambda: service.ask("GET", "/status")[1]["lever"] == "released"))
    third = service.ask("POST", "/runs", {"playbook": "quick.yaml", "vars": {"length": "20s", "observe": "20s"}})[1]["id"]
    service.armed(third)
    service.ask("POST", f"/runs/{third}/abort", {"reason": "enough"})
    status, answer = service.ask("POST", f"/runs/{third}/abort", {"reason": "quite enough"})
    point("an abort twice is one", status == 202 and answer["state"] == "ending" and service.order(third)["reason"] == "aborted by local: enough", answer)
    until(lambda: '"observe"' in events(service, third))
    service.ask("POST", f"/runs/{third}/abort", {"force": True})
    point("by force it does not wait", until(lambda: service.order(third)["state"] == "ended" and "by force" in outcome(service, third)), outcome(service, third))
    service.remove()


# ---- schedules and suites -------------------------------------------------------------------------------------------------------------
def schedules():
    away = (time.gmtime().tm_min + 5) % 10 # of the minute: nothing becomes due by itself while this looks at what was missed
    service = Service("times", "windows:\n  night: {kind: allow, cron: '0 0 1 1 *', duration: 1s}\n"
                               "suites:\n  all of it: {steps: [{playbook: refused.yaml, repeat: 3}, {playbook: quick.yaml}], stop_on_failure: true}\n"
                               f"schedules:\n  late: {{playbook: refused.yaml, cron: '{away}-59/10 * * * *', catch_up: {{all: 2}}}}\n"
                               f"  never: {{playbook: refused.yaml, cron: '{away}-59/10 * * * *', catch_up: one, windows: [night]}}\n"
                               f"  the suite: {{suite: all of it, cron: '{away}-59/10 * * * *', catch_up: one, overlap: queue}}\n")
    service.start()
    names = [item["name"] for item in service.ask("GET", "/schedules")[1]["items"]]
    point("serve.yaml's schedules are there", names == ["late", "never", "the suite"], names)
    late = service.ask("GET", "/schedules")[1]["items"][0]
    status, answer = service.ask("PATCH", f"/schedules/{late['id']}", {"cron": "@daily"})
    point("they are changed in the file only", status == 403 and "serve.yaml" in answer["detail"], answer)
    point("but paused anywhere", service.ask("POST", f"/schedules/{late['id']}/pause")[1]["enabled"] is False)
    service.kill()
    service.start()
    point("which a restart keeps", service.ask("GET", f"/schedules/{late['id']}")[1]["enabled"] is False)
    service.ask("POST", f"/schedules/{late['id']}/resume")
    service.kill()
    service.change("UPDATE schedule SET considered_s = considered_s - 7200") # it was away for two hours
    service.start()
    until(lambda: not service.query("SELECT 1 FROM run_order WHERE state <> 'ended'") and len(service.query("SELECT 1 FROM occurrence WHERE schedule = ?", int(late["id"]))) >= 12, 30)
    rows = service.query("SELECT state, reason, run FROM occurrence WHERE schedule = ? ORDER BY due_s", int(late["id"]))
    point("of the missed ones the two newest are made up for", len(rows) >= 12 and [row[0] for row in rows[-2:]] == ["started", "started"] and
          all(row[0] == "skipped" and "missed" in row[1] for row in rows[:-2]), rows)
    rows = service.query("SELECT state, reason FROM occurrence WHERE schedule = (SELECT id FROM schedule WHERE name = 'never') ORDER BY due_s")
    point("a closed window skips, with that reason", rows and rows[-1] == ("skipped", "none of its allow windows is open"), rows)
    runs = until(lambda: [row for row in service.query("SELECT outcome, run, by_kind FROM suite_run WHERE state = 'ended'")], 30)
    count = service.query("SELECT count(*) FROM run_order WHERE by_kind = 'suite'")[0][0]
    point("a suite stops at its first failure", runs and runs[0][0] == "failed" and runs[0][2] == "schedule" and count == 1, f"{runs} {count}")
    service.kill()
    service.change("UPDATE schedule SET considered_s = considered_s + 400000") # the clock had been days ahead
    service.start()
    point("after a clock was set back, what lies ahead is ahead", until(lambda: service.query("SELECT max(considered_s) FROM schedule")[0][0] <= time.time()))
    page = service.ask("GET", f"/schedules/{late['id']}/occurrences?limit=5")[1]
    again = service.ask("GET", f"/schedules/{late['id']}/occurrences?limit=5&cursor={page['next']}")[1]
    dues = [item["due"] for item in page["items"] + again["items"]]
    point("occurrences come in pages", len(dues) == 10 and dues == sorted(set(dues), reverse=True), dues)
    service.ask("POST", "/suites", {"name": "on", "steps": [{"playbook": "refused.yaml", "repeat": 2}, {"playbook": "refused.yaml", "vars": {"latency": "1ms"}}]})
    service.ask("POST", "/suites/on/run")
    done = until(lambda: service.query("SELECT outcome FROM suite_run WHERE suite = 'on' AND state = 'ended'"), 30)
    batches = service.query("SELECT batch, count(*) FROM run_order WHERE by_name = 'on' GROUP BY batch ORDER BY 2")
    point("one without that rule goes on to its end, a batch a step", done == [("failed",)] and [row[1] for row in batches] == [1, 2], f"{done} {batches}")
    service.stop()
    service.write("serve.yaml", "schedules:\n  late: {playbook: refused.yaml, cron: '61 * * * *', overlpa: queue}\n")
    status, said = service.refused()
    point("a bad line is told with its place", status == 65 and "serve.yaml:2:3" in said and "did you mean overlap?" in said, said)
    service.write("serve.yaml", "schedules: {}\n")
    service.start()
    point("what has gone from the file is gone", service.ask("GET", "/schedules")[1]["items"] == [])
    service.remove()


# ---- bad stores ------------------------------------------------------------------------------------------------------------------------
def stores():
    service = Service("store")
    service.start()
    service.stop()
    path = os.path.join(service.data, "service.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    status, said = service.refused()
    point("locked by another program", status == 69 and "another program holds the file locked" in said, f"{status} {said}")
    holder.close()
    service.change("PRAGMA user_version = 999")
    status, said = service.refused()
    point("of a newer program", status == 69 and "newer perturb (version 999" in said, f"{status} {said}")
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    status, said = service.refused()
    point("damaged", status == 69 and "damaged" in said and "move the file away" in said and said.count("\n") == 1, f"{status} {said}")
    with open(path, "wb") as file:
        file.write(b"no database" * 1000)
    status, said = service.refused()
    point("no database at all", status == 69 and "damaged or no SQLite database" in said, f"{status} {said}")
    os.unlink(path)
    point("moved away, it starts afresh", service.start())
    service.remove()


def full_disk():
    if os.geteuid() != 0:
        skip("a_full_disk", "only root can make a small one")
        return
    service = Service("full")
    shutil.rmtree(service.data)
    os.mkdir(service.data)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "none", service.data], check=True)
    try:
        os.mkdir(os.path.join(service.data, "playbooks"))
        service.write("playbooks/quick.yaml", QUICK)
        service.start()
        run = service.ask("POST", "/runs", {"playbook": "quick.yaml", "vars": {"length": "1s"}})[1]["id"]
        service.armed(run)
        ballast = os.open(os.path.join(service.data, "ballast"), os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(ballast, b"x" * 4096)
        except OSError:
            os.close(ballast)
        status, answer = service.ask("POST", "/runs", {"playbook": "quick.yaml"})
        point("a full disk is told", status >= 500 and "full" in str(answer), f"{status} {answer}")
        guardian = service.running(run)
        until(lambda: not alive(guardian), 40)
        point("nothing of the run is left", not marked(run), marked(run))
        told = until(lambda: [text for text in service.ask("GET", "/status")[1]["problems"] if "disk is full" in text] or service.order(run).get("state") == "ended", 10)
        os.unlink(os.path.join(service.data, "ballast"))
        row = service.ended(run, 30)
        point("its end is recorded once there is room", told and row["state"] == "ended" and row["outcome"], f"{told} {row}")
        point("and the service goes on", service.ask("POST", "/runs", {"playbook": "quick.yaml"})[0] == 202)
        point("and ends well", service.stop() == 0)
    finally:
        if service.process.poll() is None:
            service.stop()
        subprocess.run(["umount", service.data], check=False)
    service.remove()


for part in (refusals, opt_in, lives, lever, schedules, stores, full_disk):
    if len(sys.argv) < 2 or part.__name__ in sys.argv[1:]:
        part()
finish()
