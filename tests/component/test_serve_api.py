#!/usr/bin/env python3
# The HTTP API of `perturb serve` over the loopback: every class of bad input has its own clear error and changes nothing; lists stay stable
# while rows come; keys are carried out once, also across SIGKILL; the audit log holds; the description fits what is answered.
# time-limit: 120
# beside: others
import json, os, re, shutil, signal, socket, sys, threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from api_client import PERTURB, SCALE, Service, Tap

API = "/api/v1"
tap = Tap()


def expect(answer, status, word=None):
    """Falsy when the answer is a problem of that status whose detail holds the word."""
    if answer.status != status:
        return "status %d, not %d: %s" % (answer.status, status, answer.body[:300])
    if status >= 400 and (answer.headers["Content-Type"] != "application/problem+json" or answer.json.get("status") != status or not answer.json["detail"]):
        return "no problem document: %s" % answer.body[:300]
    if word and word not in answer.body.decode():
        return "does not say '%s': %s" % (word, answer.body[:300])
    return None


def raw(service, request, most=4096):
    """Bytes as they are, for what no client library would send."""
    host, port = service.host.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10 * SCALE) as peer:
        peer.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        got = b""
        try:
            while len(got) < most:
                part = peer.recv(most)
                if not part:
                    break
                got += part
        except ConnectionResetError:
            pass
    return got


def test_bad_input(service):
    ask = service.ask
    got = raw(service, b"POST /api/v1/resume HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n")
    tap.point("an oversized body is refused before it is read", None if b" 413 " in got[:20] and b"1048576" in got else got[:300])
    chunked = b"POST /api/v1/resume HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    got = raw(service, chunked + block * 20 + b"0\r\n\r\n")
    tap.point("an oversized body in chunks as well", None if b" 413 " in got[:20] else got[:200])
    tap.point("a body that is no UTF-8", expect(ask("POST", API + "/resume", b'{"reason":"\xff\xfe"}', Content_Type="application/json"), 400, "UTF-8"))
    tap.point("a body that is no JSON", expect(ask("POST", API + "/resume", b'{"reason":', Content_Type="application/json"), 400, "JSON"))
    tap.point("a member that comes twice", expect(ask("POST", API + "/resume", b'{"reason":"a","reason":"b"}', Content_Type="application/json"), 400, "reason"))
    tap.point("a body of another type", expect(ask("POST", API + "/resume", b"reason=x", Content_Type="application/x-www-form-urlencoded"), 415))
    tap.point("an unknown member, with the nearest name", expect(ask("POST", API + "/resume", {"reson": "x"}), 400, "reason"))
    tap.point("a member of the wrong type", expect(ask("POST", API + "/resume", {"reason": 7}), 400, "expected string"))
    tap.point("a member that is too long", expect(ask("POST", API + "/resume", {"reason": "x" * 401}), 400, "maximum of 400"))
    tap.point("an unknown parameter", expect(ask("GET", API + "/runs?limt=1"), 400, "limt"))
    tap.point("a parameter out of range", expect(ask("GET", API + "/runs?limit=201"), 400, "maximum of 200"))
    tap.point("a parameter of the wrong type", expect(ask("GET", API + "/runs?limit=many"), 400, "integer"))
    tap.point("a cursor that no list gave", expect(ask("GET", API + "/runs?cursor=00ff"), 400, "cursor"))
    tap.point("a cursor of another list", expect(ask("GET", API + "/runs?cursor=" + '["a"]'.encode().hex()), 400, "cursor"))
    tap.point("an unknown path", expect(ask("GET", API + "/nix"), 404))
    answer = ask("DELETE", API + "/runs")
    tap.point("a method that the path does not know", expect(answer, 405) or (answer.headers["Allow"].startswith("GET, HEAD") and None))
    tap.point("OPTIONS tells the methods", None if "GET" in (ask("OPTIONS", API + "/runs").headers["Allow"] or "") else "no Allow")
    tap.point("a target that is too long", None if b" 414 " in raw(service, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")[:20] else "not 414")
    tap.point("a NUL in the target", expect(ask("GET", API + "/runs/%00"), 400, "control"))
    tap.point("a target that is no UTF-8", expect(ask("GET", API + "/runs/%ff"), 400, "UTF-8"))
    tap.point("a half escape", expect(ask("GET", API + "/runs/%4"), 400, "hexadecimal"))


def test_names(service):
    source = open("playbooks/quickstart.yaml").read()
    secret = os.path.join(service.base, "secret.yaml")
    with open(secret, "w") as out:
        out.write(source)
    os.symlink(secret, service.playbooks + "/link.yaml")
    os.symlink(service.base, service.playbooks + "/folder")
    wrong = []
    for name in ("..%2Fsecret.yaml", "%2e%2e%2fsecret.yaml", "a%2F..%2F..%2Fsecret.yaml", "%2Fetc%2Fpasswd", ".hidden.yaml", "a%5C..%5Cb.yaml",
                 "secret.yaml%00.json", "no-ending", "a%2F%2Fb.yaml", "link.yaml", "folder%2Fsecret.yaml", "con%0a.yaml", "x" * 300 + ".yaml"):
        for method, body in (("GET", None), ("PUT", {"source": source}), ("DELETE", None), ("POST", {})):
            path = API + "/playbooks/" + name + ("/check" if method == "POST" else "")
            answer = service.ask(method, path, body, If_Match="*")
            fits = answer.status in (400, 404) or (method == "PUT" and name == "link.yaml" and answer.status in (400, 403, 404, 503))
            if not fits:
                wrong.append("%s %s: %d" % (method, name, answer.status))
    tap.point("no name leads out of the playbooks' directory", "\n".join(wrong))
    tap.point("and nothing outside was touched", None if open(secret).read() == source else "secret.yaml was changed")
    wrong = [run for run in ("..%2F..%2Fetc", "'%20OR%201=1--", "2026", "%25") if service.ask("GET", API + "/runs/" + run).status not in (400, 404)]
    tap.point("no run is found by what is no id", wrong)


def test_playbooks(service):
    source = open("playbooks/quickstart.yaml").read()
    path = API + "/playbooks/team%2Fshop.yaml"
    made = service.ask("PUT", path, {"source": source})
    read = service.ask("GET", path)
    tap.point("a playbook is stored and read back", expect(made, 201) or expect(read, 200) or (read.json["source"] != source and "another text"))
    tap.point("changing it takes If-Match", expect(service.ask("PUT", path, {"source": source}), 428))
    changed = service.ask("PUT", path, {"source": source + "# more\n"}, If_Match=read.headers["ETag"])
    tap.point("with the tag that was read it is changed", expect(changed, 200))
    tap.point("with an old tag it is not", expect(service.ask("PUT", path, {"source": "x"}, If_Match=read.headers["ETag"]), 412))
    bad = service.ask("PUT", path, {"source": "perturb: 1\ntitel: x\n"}, If_Match="*")
    tap.point("an unsound one is not stored, each error with its place",
              expect(bad, 422, "team/shop.yaml:2:1") or (service.ask("GET", path).json["hash"] != changed.json["hash"] and "it was stored"))
    answer = service.ask("POST", path + "/check", {"source": "perturb: 2\n"})
    tap.point("a text is judged without being stored", expect(answer, 200) or (answer.json["valid"] and "it is called sound"))
    answer = service.ask("POST", path + "/check", {"vars": {"rate": "7/s", "rat": 1}})
    tap.point("variables are judged", expect(answer, 200, "did you mean rate") or (answer.json["valid"] and "called sound"))
    answer = service.ask("POST", path + "/preview", {"vars": {"rate": "7/s"}})
    tap.point("a dry run tells targets and timeline", expect(answer, 200, "latency") or (answer.json["exit_status"] and answer.json["text"]))
    tap.point("it is removed with If-Match", expect(service.ask("DELETE", path, If_Match=changed.headers["ETag"]), 204) or expect(service.ask("GET", path), 404))


def test_caching(service):
    first = service.ask("GET", API + "/runs")
    again = service.ask("GET", API + "/runs", If_None_Match=first.headers["ETag"])
    tap.point("what the client has is not sent again", None if again.status == 304 and not again.body and again.headers["ETag"] == first.headers["ETag"] else again.status)
    service.add_runs(0, 1)
    tap.point("what has changed is", expect(service.ask("GET", API + "/runs", If_None_Match=first.headers["ETag"]), 200))
    head = service.ask("HEAD", API + "/runs")
    tap.point("HEAD is a GET without its body", None if head.status == 200 and not head.body and head.headers["ETag"] else head.status)


def test_pages(service):
    known = service.add_runs(1, 300)
    seen, cursor, pages = [], "", 0
    while cursor is not None and pages < 50:
        answer = service.ask("GET", API + "/runs?limit=37" + ("&cursor=" + cursor if cursor else ""))
        seen += [run["id"] for run in answer.json["items"]]
        cursor = answer.json["next"]
        pages += 1
        service.add_runs(1000 + 10 * pages, 5)
    tap.point("a list stays stable while rows are added", None if seen[:300] == known[::-1] and len(seen) == len(set(seen)) == 301 else
              "%d seen, %d different, %d pages" % (len(seen), len(set(seen)), pages))
    answer = service.ask("GET", API + "/runs?verdict=converged&service=shop&since=2026-01-01T03:00:00Z&playbook=made.yaml&state=ended&limit=5")
    tap.point("filters go together", expect(answer, 200) or (len(answer.json["items"]) != 5 and answer.body))
    tap.point("and choose", None if service.ask("GET", API + "/runs?verdict=flapping").json["items"] == [] else "rows of another verdict")
    answer = service.ask("GET", API + "/trends?playbook=made.yaml")
    tap.point("a trend has points and a score with parts",
              expect(answer, 200) or (not (len(answer.json["points"]) == 300 and len(answer.json["score"]["parts"]) == 7) and answer.body[:300]))


def test_origin(service):
    ask = service.ask
    tap.point("a Host that is not ours (DNS rebinding)", expect(ask("GET", API + "/runs", Host="evil.example"), 421))
    tap.point("a Host with another port", expect(ask("GET", API + "/runs", Host="localhost:1"), 421))
    tap.point("a loopback name is ours", expect(ask("GET", API + "/runs", Host="localhost"), 200))
    tap.point("no Host at all", None if b" 400 " in raw(service, b"GET /api/v1/runs HTTP/1.1\r\n\r\n")[:20] else "not 400")
    tap.point("a page of another site", expect(ask("POST", API + "/resume", {}, Origin="http://evil.example", X_Perturb="1"), 403, "another site"))
    tap.point("an Origin of null", expect(ask("POST", API + "/resume", {}, Origin="null", X_Perturb="1"), 403))
    tap.point("a browser that says cross-site", expect(ask("GET", API + "/runs", Sec_Fetch_Site="cross-site"), 403))
    tap.point("our page without its mark (CSRF)", expect(ask("POST", API + "/resume", {}, Origin=service.url), 403, "X-Perturb"))
    tap.point("our page with its mark", expect(ask("POST", API + "/resume", {}, Origin=service.url, X_Perturb="1"), 200))
    page = ask("GET", "/")
    policy = page.headers["Content-Security-Policy"] or ""
    tap.point("the page allows nothing inline and nothing foreign", None if page.status == 200 and "default-src 'none'" in policy and "unsafe" not in policy else policy)


def test_once(service):
    first = service.ask("POST", API + "/resume", {"reason": "a"}, Idempotency_Key="k1")
    again = service.ask("POST", API + "/resume", {"reason": "a"}, Idempotency_Key="k1")
    tap.point("the same key again gets the same answer", None if again.headers["Idempotent-Replayed"] and again.json == first.json else again.body)
    tap.point("the same key for another request is refused", expect(service.ask("POST", API + "/resume", {"reason": "b"}, Idempotency_Key="k1"), 422))
    tap.point("a key with blanks is refused", expect(service.ask("POST", API + "/resume", {}, Idempotency_Key="a b"), 400))
    lines = len(open(service.data + "/audit.jsonl").read().splitlines())
    service.stop(signal.SIGKILL)
    service.start()
    again = service.ask("POST", API + "/resume", {"reason": "a"}, Idempotency_Key="k1")
    tap.point("also by the next service after a SIGKILL", None if again.headers["Idempotent-Replayed"] and again.json == first.json else again.body)
    tap.point("and nothing was done for it", None if len(open(service.data + "/audit.jsonl").read().splitlines()) == lines else "the log grew")


def test_tokens(service):
    ask = service.ask
    roles = {role: service.token(role, role) for role in ("viewer", "operator", "admin")}
    service.token("gone", "admin", "--for", "1s")
    bearer = {role: "Bearer " + secret for role, secret in roles.items()}
    stored = open(service.data + "/tokens.json").read()
    tap.point("no secret is stored", None if not any(secret in stored for secret in roles.values()) and oct(os.stat(service.data + "/tokens.json").st_mode)[-3:] == "600" else stored)
    tap.point("the name is taken", None if service.command("token", "add", "viewer").returncode == 64 else "added twice")
    tap.point("who says nothing is not let in", expect(ask("GET", API + "/runs"), 401))
    tap.point("health is told to everybody", expect(ask("GET", "/healthz"), 200))
    tap.point("an unknown token", expect(ask("GET", API + "/runs", Authorization="Bearer ptb_0"), 401, "not known"))
    tap.point("a viewer sees", expect(ask("GET", API + "/runs", Authorization=bearer["viewer"]), 200))
    tap.point("a viewer changes nothing", expect(ask("POST", API + "/resume", {}, Authorization=bearer["viewer"]), 403, "operator"))
    tap.point("a viewer may stop", expect(ask("POST", API + "/halt", {}, Authorization=bearer["viewer"]), 200, "engaged"))
    tap.point("an operator resumes", expect(ask("POST", API + "/resume", {}, Authorization=bearer["operator"]), 200))
    tap.point("an operator stores no playbook", expect(ask("PUT", API + "/playbooks/x.yaml", {"source": "x"}, Authorization=bearer["operator"]), 403, "admin"))
    session = ask("POST", API + "/session", {"token": roles["operator"]})
    cookie = (session.headers["Set-Cookie"] or "").split(";")
    tap.point("a session's cookie is no script's and no other site's", None if any("HttpOnly" in c for c in cookie) and any("SameSite=Strict" in c for c in cookie) else cookie)
    tap.point("the session sees", expect(ask("GET", API + "/session", Cookie=cookie[0]), 200, "operator"))
    tap.point("its changes need the mark", expect(ask("POST", API + "/resume", {}, Cookie=cookie[0]), 403, "X-Perturb"))
    tap.point("with the mark they are made", expect(ask("POST", API + "/resume", {}, Cookie=cookie[0], X_Perturb="1"), 200))
    service.command("token", "remove", "operator")
    tap.point("the session ends with its token", expect(ask("GET", API + "/session", Cookie=cookie[0]), 401))
    expired = wait_expired(service)
    tap.point("an expired token", expired)
    codes = {ask("GET", API + "/runs", Authorization="Bearer guess%d" % i).status for i in range(15)}
    tap.point("who guesses is slowed down", None if codes == {401, 429} else codes)
    tap.point("who knows is not", expect(ask("GET", API + "/runs", Authorization=bearer["admin"]), 200))
    return bearer["admin"]


def wait_expired(service):
    import time
    secret = service.token("brief", "viewer", "--for", "1s")
    deadline = time.monotonic() + 10 * SCALE
    while time.monotonic() < deadline:
        answer = service.ask("GET", API + "/runs", Authorization="Bearer " + secret)
        if answer.status == 401:
            return expect(answer, 401, "expired")
    return "it never expired"


def test_audit(service, admin):
    log = service.data + "/audit.jsonl"
    lines = open(log).read().splitlines()
    entries = [json.loads(line) for line in lines]
    outcomes = {entry["of"]: entry for entry in entries if entry["event"] == "outcome"}
    missing = [entry for entry in entries if entry["event"] == "request" and entry["seq"] not in outcomes]
    tap.point("every change has its line and its outcome", missing)
    tap.point("what was refused at the door is told", None if any(e["event"] == "refused" and e["status"] == 403 for e in entries) else "nothing refused")
    tap.point("the chain holds", None if service.command("audit", "verify").returncode == 0 else service.command("audit", "verify").stderr)
    page = service.ask("GET", API + "/audit?limit=3", Authorization=admin)
    tap.point("an admin reads it, newest first", expect(page, 200) or ([e["seq"] for e in page.json["items"]] != [len(lines) - i for i in range(3)] and page.body))
    wrong = []
    copy = os.path.join(service.base, "copy")
    for name, change in (("changed", lambda l: [l[0], l[1].replace('"at":"2', '"at":"3', 1)] + l[2:]), ("taken out", lambda l: l[:2] + l[3:]),
                         ("put in", lambda l: l[:2] + [l[1]] + l[2:]), ("torn", lambda l: l[:-1] + [l[-1][:40]])):
        os.makedirs(copy, exist_ok=True)
        with open(copy + "/audit.jsonl", "w") as out:
            out.write("\n".join(change(list(lines))) + ("" if name == "torn" else "\n"))
        import subprocess
        if subprocess.run([PERTURB, "serve", "audit", "verify", "--data", copy], capture_output=True).returncode != 65:
            wrong.append(name)
    tap.point("a line changed, taken out, put in or torn is found", wrong)


def test_description(service, admin):
    document = service.ask("GET", API + "/openapi.json", Authorization=admin).json
    wrong, ids = [], set()

    def walk(node, where):
        if isinstance(node, dict):
            if "$ref" in node:
                target = document
                for part in node["$ref"].lstrip("#/").split("/"):
                    target = target.get(part, {}) if isinstance(target, dict) else {}
                if not target:
                    wrong.append(where + ": nothing at " + node["$ref"])
            for key, value in node.items():
                walk(value, where + "/" + key)
        elif isinstance(node, list):
            for i, value in enumerate(node):
                walk(value, "%s/%d" % (where, i))

    walk(document, "")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            if name in ids and not name.startswith(("runs_", "page")):
                wrong.append("operationId twice: " + name)
            ids.add(name)
            stated = {p.get("name") for p in operation["parameters"] if p.get("in") == "path"}
            if stated != set(re.findall(r"\{(\w+)\}", path)):
                wrong.append(path + ": path parameters " + str(stated))
            for parameter in operation["parameters"]:
                if "$ref" not in parameter and not parameter.get("description"):
                    wrong.append(path + ": a parameter without description")
            if not operation.get("summary") or any(not r.get("description") for r in operation["responses"].values()):
                wrong.append(path + ": not described")
    for name, parameter in document["components"]["parameters"].items():
        if not parameter.get("description") or "schema" not in parameter:
            wrong.append("parameter " + name)
    tap.point("the description holds together", "\n".join(wrong))
    unreachable = []
    for path, methods in document["paths"].items():
        filled = re.sub(r"\{\w+\}", "1", path)
        for method in methods:
            if filled.endswith("/events") or path.endswith("/halt"):
                continue
            answer = service.ask(method.upper(), filled, Authorization=admin)
            if answer.status in (405, 500) or (answer.status == 404 and b"nothing at this path" in answer.body):
                unreachable.append("%s %s: %d %s" % (method, path, answer.status, answer.body[:120]))
    tap.point("every route of it is there", "\n".join(unreachable))
    return document


def test_streams(service, admin):
    """Two hundred watchers of the service hear of a change; one that has gone is no burden."""
    connections = []
    for _ in range(200):
        connection = service.connect()
        connection.request("GET", API + "/events", headers={"Authorization": admin})
        connections.append((connection, connection.getresponse()))
    for _, reply in connections:
        reply.readline()
    connections[0][0].close()
    service.ask("POST", API + "/halt", {}, Authorization=admin)
    heard = 0
    for connection, reply in connections[1:]:
        for _ in range(12):
            if reply.readline().strip() == b"event: lever":
                heard += 1
                break
        connection.close()
    tap.point("200 watchers hear of a change", None if heard == 199 else heard)
    first = service.connect()
    first.request("GET", API + "/events?after=1", headers={"Authorization": admin})
    got = first.getresponse().readline().strip()
    tap.point("one that missed too much is told to begin anew", None if got in (b"event: reset", b": perturb") or got.startswith(b"id:") else got)
    first.close()
    service.ask("POST", API + "/resume", {}, Authorization=admin)


def main():
    service = Service()
    try:
        test_bad_input(service)
        test_names(service)
        test_playbooks(service)
        test_caching(service)
        test_pages(service)
        test_origin(service)
        test_once(service)
        admin = test_tokens(service)
        test_audit(service, admin)
        test_description(service, admin)
        test_streams(service, admin)
        tap.point("SIGTERM ends it well", None if service.stop() == 0 else "status %d" % service.process.returncode)
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
        shutil.rmtree(service.base, ignore_errors=True)
    return tap.finish()


sys.exit(main())
