# What listens on the other side of outlets, for tests: a receiver that keeps what it gets and fails as told, a real Alertmanager; and the
# rules of OTLP's JSON (opentelemetry-proto: docs/specification.md "JSON Protobuf Encoding", trace.proto, metrics.proto, common.proto).
import http.server, json, os, re, socket, subprocess, threading, time, urllib.request

SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000


def until(look, seconds):
    deadline = time.monotonic() + seconds * SCALE
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(0.02)
    return bool(look())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Receiver:
    """`fail`: path prefix -> how many of its first requests are refused with 503 and Retry-After: 1."""

    def __init__(self, fail=None, port=0):
        self.got = []  # (method, path, headers, body)
        self.fail = dict(fail or {})
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with receiver.lock:
                    prefix = next((p for p in receiver.fail if self.path.startswith(p) and receiver.fail[p] > 0), None)
                    if prefix:
                        receiver.fail[prefix] -= 1
                    receiver.got.append((self.command, self.path, dict(self.headers), body, prefix is not None))
                    number = len(receiver.got)
                out = b'{"id": %d, "message": "Annotation added"}' % number if "annotations" in self.path else b"ok"
                self.send_response(503 if prefix else 200)
                if prefix:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

            def log_message(self, *rest):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *rest: None  # whoever asks may be killed at any instant
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, prefix, accepted=True):
        with self.lock:
            return [g for g in self.got if g[1].startswith(prefix) and (not accepted or not g[4])]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Alertmanager:
    def __init__(self, work):
        self.port = free_port()
        with open(work + "/alertmanager.yml", "w") as f:
            f.write("route: {receiver: nobody, group_wait: 0s}\nreceivers: [{name: nobody}]\n")
        self.process = subprocess.Popen(
            ["prometheus-alertmanager", f"--config.file={work}/alertmanager.yml", f"--storage.path={work}/alertmanager", "--cluster.listen-address=",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not until(self.is_up, 20):
            raise SystemExit("Bail out! the alert manager does not start")

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v2/{path}", json.dumps(body).encode() if body is not None else None,
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5 * SCALE) as answer:
            return json.loads(answer.read() or b"null")

    def is_up(self):
        try:
            return bool(self.ask("status"))
        except OSError:
            return False

    def silences(self, state):
        return [s for s in self.ask("silences") if s["status"]["state"] == state]

    def alerts(self, name):
        return [a for a in self.ask("alerts") if a["labels"]["alertname"] == name]

    def raise_alert(self, name, **labels):
        self.ask("alerts", [{"labels": {"alertname": name, **labels}, "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))}])

    def close(self):
        self.process.terminate()
        self.process.wait()


HEX = re.compile(r"^[0-9a-f]+$")
UINT = re.compile(r"^[0-9]+$")
INT = re.compile(r"^-?[0-9]+$")


class Wrong(Exception):
    pass


def must(condition, what):
    if not condition:
        raise Wrong(what)


def keys(value, allowed, what):
    must(isinstance(value, dict), what + " is no object")
    for key in value:
        must(key in allowed, f"{what} has an unknown key {key}")


def any_value(value):
    keys(value, {"stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"}, "AnyValue")
    must(len(value) == 1, "AnyValue is a oneof")
    if "intValue" in value:
        must(isinstance(value["intValue"], str) and INT.match(value["intValue"]), "intValue is no text of an integer")
    if "stringValue" in value:
        must(isinstance(value["stringValue"], str), "stringValue is no text")
    if "doubleValue" in value:
        must(isinstance(value["doubleValue"], (int, float)), "doubleValue is no number")


def attributes(items):
    seen = set()
    for pair in items:
        keys(pair, {"key", "value"}, "KeyValue")
        must(pair["key"] and pair["key"] not in seen, "a key comes twice or is empty")
        seen.add(pair["key"])
        any_value(pair["value"])


def fixed64(text, what):
    must(isinstance(text, str) and UINT.match(text) and int(text) < 1 << 64, what + " is no text of a fixed64")
    return int(text)


def identifier(text, digits, what):
    must(isinstance(text, str) and len(text) == digits and HEX.match(text) and int(text, 16), f"{what} is not {digits} hex digits")


def scopes(document, resources_key, scopes_key, items_key):
    keys(document, {resources_key}, "request")
    for resource in document[resources_key]:
        keys(resource, {"resource", scopes_key, "schemaUrl"}, resources_key)
        keys(resource["resource"], {"attributes", "droppedAttributesCount"}, "resource")
        attributes(resource["resource"]["attributes"])
        for scope in resource[scopes_key]:
            keys(scope, {"scope", items_key, "schemaUrl"}, scopes_key)
            keys(scope["scope"], {"name", "version", "attributes"}, "scope")
            yield from scope[items_key]


def check_trace(document):
    """Returns the spans."""
    spans = list(scopes(document, "resourceSpans", "scopeSpans", "spans"))
    must(spans, "no spans")
    for span in spans:
        keys(span, {"traceId", "spanId", "parentSpanId", "traceState", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "events",
                    "links", "status", "flags", "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"}, "Span")
        identifier(span["traceId"], 32, "traceId")
        identifier(span["spanId"], 16, "spanId")
        if "parentSpanId" in span:
            identifier(span["parentSpanId"], 16, "parentSpanId")
        must(span["name"], "a span without a name")
        must(type(span["kind"]) is int and 0 <= span["kind"] <= 5, "kind is no enum number")
        must(fixed64(span["startTimeUnixNano"], "start") <= fixed64(span["endTimeUnixNano"], "end"), "a span ends before it begins")
        attributes(span["attributes"])
        for event in span.get("events", []):
            keys(event, {"timeUnixNano", "name", "attributes", "droppedAttributesCount"}, "Event")
            fixed64(event["timeUnixNano"], "timeUnixNano")
            attributes(event["attributes"])
        if "status" in span:
            keys(span["status"], {"code", "message"}, "Status")
            must(type(span["status"]["code"]) is int and 0 <= span["status"]["code"] <= 2, "status code is no enum number")
    ids = [span["spanId"] for span in spans]
    must(len(set(ids)) == len(ids), "a span id comes twice")
    must(len({span["traceId"] for span in spans}) == 1, "more than one trace")
    must(all(span["parentSpanId"] in ids for span in spans if "parentSpanId" in span), "a parent that is not there")
    must(sum("parentSpanId" not in span for span in spans) == 1, "not one root")
    return spans


def check_metrics(document):
    """Returns {name: [(value, attributes)]}."""
    found = {}
    for metric in scopes(document, "resourceMetrics", "scopeMetrics", "metrics"):
        keys(metric, {"name", "description", "unit", "gauge", "sum", "histogram", "metadata"}, "Metric")
        must(len({"gauge", "sum", "histogram"} & set(metric)) == 1, "data is a oneof")
        if "sum" in metric:
            keys(metric["sum"], {"dataPoints", "aggregationTemporality", "isMonotonic"}, "Sum")
            must(metric["sum"]["aggregationTemporality"] == 2 and metric["sum"]["isMonotonic"] is True, "not a cumulative, monotonic sum")
        points = (metric.get("sum") or metric["gauge"])["dataPoints"]
        for point in points:
            keys(point, {"attributes", "startTimeUnixNano", "timeUnixNano", "asDouble", "asInt", "exemplars", "flags"}, "NumberDataPoint")
            must(len({"asDouble", "asInt"} & set(point)) == 1, "value is a oneof")
            must(fixed64(point["startTimeUnixNano"], "start") <= fixed64(point["timeUnixNano"], "time"), "a point before its start")
            if "asInt" in point:
                must(isinstance(point["asInt"], str) and INT.match(point["asInt"]), "asInt is no text")
            attributes(point["attributes"])
            value = float(point.get("asInt", point.get("asDouble")))
            found.setdefault(metric["name"], []).append((value, {a["key"]: a["value"].get("stringValue") for a in point["attributes"]}))
    return found
