#!/usr/bin/env python3
"""A target that attacks whoever looks at it. Its program's file name, its thread's name, the name of a file it holds open, its output and
log lines, the header and the body of its replies, and the playbook's own title, tags and owner hold what takes over terminals, pages and
parsers. A real run is made of it, and each surface on which it is shown is read by a reader of that format that is not ours.

beside: others
"""
import glob, html.parser, json, os, pty, re, select, shutil, subprocess, sys, tempfile, time
import xml.etree.ElementTree as tree

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.path.realpath(os.environ.get("BUILD", os.path.join(root, "build")))
perturb = f"{build}/perturb"
limit = 90 * max(1.0, float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000)
work = tempfile.mkdtemp(prefix="hostile-")
count = failures = 0

# One that ends every context that text may be put in: element, attribute, script, CDATA, table cell, code, command line of a workflow,
# terminal (title, clear, colour, C1), and reading order.
EVIL = "\x1b]0;PWNED\x07\x1b[2J\u009b31m\u202e<img src=x onerror=PWNED()>\"'`|</script><script>PWNED()</script>]]>\r\n::error::PWNED\n"
LINE = EVIL.replace("\r\n", " ").replace("\n", " ")
NAME = "\x1b[2J<u>|`\u009b\n::"  # of at most 15 bytes: what the kernel keeps of a thread's name

SERVER = r'''
import ctypes, http.server, os, sys, threading
evil, name, port, log = sys.argv[1:]
libc = ctypes.CDLL(None)
def named():
    libc.prctl(15, name.encode()[:15], 0, 0, 0)
    threading.Event().wait()
threading.Thread(target=named, daemon=True).start()
held = open(os.path.join(os.path.dirname(log), "held\x1b[2J<u>\n::error::"), "w")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (evil + '{"queue": 7}').encode()
        self.wfile.write(b"HTTP/1.1 200 " + evil.split("\r\n")[0].encode() + b"\r\nX-Evil: " + evil.split("\r\n")[0].encode() +
                         b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\nConnection: close\r\n\r\n" + body)
        with open(log, "a") as out:
            out.write("queue=3 " + evil.replace("\r\n", " ").replace("\n", " ") + "\n")
        print(evil, flush=True)
        self.close_connection = True
    def log_message(self, *rest):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
'''


def point(name, complaints):
    global count, failures
    complaints = list(complaints)
    count += 1
    failures += bool(complaints)
    print(f"{'not ' if complaints else ''}ok {count} - {name}", flush=True)
    for line in complaints[:30]:
        print("#", str(line)[:600])


def controls(text, allowed="\n", data=False):
    """Characters that no surface may pass on: controls, and those that turn the order of reading. JSON is data: there only what the
    format forbids (RFC 8259 section 7)."""
    for number, char in enumerate(text):
        code = ord(char)
        if data and (code >= 32 or char in allowed):
            continue
        if (code < 32 and char not in allowed) or 127 <= code < 160 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            yield f"U+{code:04X} in {text[max(0, number - 60):number + 40]!r}"
            return


def run(*words, **rest):
    done = subprocess.run([perturb, *words], capture_output=True, timeout=limit, stdin=subprocess.DEVNULL, **rest)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def on_terminal(*words):
    """What a person's terminal is sent. Our own sequences (colours, line ends, cursor within the line) are taken out."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(perturb, [perturb, *words])
    out, deadline = b"", time.monotonic() + limit
    while time.monotonic() < deadline:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                break
            if not piece:
                break
            out += piece
    os.close(fd)
    os.waitpid(pid, 0)
    return re.sub(r"\x1b\[(\?25[lh]|\d{0,3}[AGK]|(0|1|2|3\d|4\d|9\d|38;5;\d+|1;3\d|;)*m)", "", out.decode("utf-8")).replace("\r", "")


class Page(html.parser.HTMLParser):
    """Elements and attributes of a page: whatever a text could have added is told."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self.scripts, self.inside, self.text = [], 0, "", ""

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        self.scripts += tag == "script"
        if tag in ("img", "u", "iframe", "object", "embed", "base", "link"):
            self.found.append(f"<{tag} {attributes}>")
        self.found += [f"{tag} {name}={value}" for name, value in attributes if name.startswith("on") or "PWNED" in (value or "") and name in ("href", "src", "style")]

    def handle_data(self, data):
        if self.inside != "script" and self.inside != "style":
            self.text += data
        elif "PWNED()" in data and self.get_starttag_text().startswith("<script>"):
            self.found.append(f"script: {data[:80]}")


program = f"{work}/\x1b[2J<u>\u009bsrv"
os.symlink(os.path.realpath(sys.executable), program)
open(f"{work}/server.py", "w").write(SERVER)
open(f"{work}/log", "w").close()
playbook = {
    "perturb": 1, "title": "T " + LINE, "description": "D " + EVIL, "service": "S " + LINE, "owner": "O " + LINE, "tags": ["tag " + LINE], "warmup": "0s",
    "targets": {"evil": {"command": [program, f"{work}/server.py", EVIL.replace("\x00", ""), NAME, "${port.evil}", f"{work}/log"],
                         "ready": {"tcp": "127.0.0.1:${port.evil}", "timeout": "20s"}}},
    "proxies": {"evil": {"upstream": "127.0.0.1:${port.evil}"}},
    "load": {"main": {"http": {"url": "http://${proxies.evil.listen}/", "timeout": "400ms"}, "rate": "40/s"}},
    "probes": {"queue": {"log": {"path": f"{work}/log", "pattern": r"queue=(\d+)"}, "every": "200ms"},
               "bad": {"json": {"url": "http://127.0.0.1:${port.evil}/", "path": "a.b"}, "every": "200ms"}},
    "captures": {"kernel": {"proc": "evil", "when": ["before", "after"]}, "body": {"url": "http://127.0.0.1:${port.evil}/", "when": ["before"]},
                 "printed": {"command": ["printf", "%s", EVIL], "when": ["before"]}},
    "steady-state-hypothesis": [{"signal": "main.goodput", "min": "1%"}],
    "method": [{"fault": "latency", "proxy": "evil", "latency": "600ms", "for": "1s"}],
    "expect": {"convergence": {"band": "60%", "hold": "500ms", "bin": "20ms"}}, "observe": "2s",
}
path = f"{work}/p.json"
with open(path, "w") as file:
    json.dump(playbook, file)

# ---- a playbook that is refused -----------------------------------------------------------------------------------------
wrong = f"{work}/wrong.json"
with open(wrong, "w") as file:
    json.dump(dict(playbook, **{"key" + EVIL: 1, "method": [{"fault": "late" + EVIL, "proxy": EVIL}]}), file)
status, out, err = run("check", wrong)
point("check: errors quote what was found, and nothing of it acts", [*([] if status == 65 else [f"status {status}"]), *controls(out + err)])
status, out, err = run("run", "--dry-run", path)
point("the dry run", [*([] if status == 0 else [f"status {status}: {err}"]), *controls(out + err), *([] if "srv" in out else ["no command in it"])])

# ---- a run of it ------------------------------------------------------------------------------------------------------------
here = f"{work}/run"
status, out, err = run("run", path, "--out", here)
point("the run is made to its end and judged", [] if status in (0, 1, 2) and os.path.exists(f"{here}/result.json") else [f"status {status}", out[-2000:], err])
point("its text: no control, no second order of reading", [*controls(out + err), *([] if "PWNED" in out else ["the title is not in it: nothing was tried"])])
status, lines, err = run("run", path, "--out", f"{work}/json", "--format", "json")
point("its events are one JSON object a line", [f"{line[:200]!r}" for line in lines.splitlines() if not isinstance(json.loads(line), dict)] + list(controls(lines, data=True)))
shown = on_terminal("report", here)
point("the report on a terminal", [*controls(shown), *([] if "PWNED" in shown else [f"nothing of it is shown: {shown[:300]!r}"])])


def written(form):
    status, text, err = run("report", here, "--format", form)
    if status:
        print(f"# {form}: status {status}: {err}")
    return text


text = written("html")
page = Page()
page.feed(text)
point("HTML: no element and no handler came out of a text", [*page.found, *controls(page.text, "\n\t"), *([] if "PWNED" in page.text else ["nothing of it is shown"])])
text = written("markdown")
bare = re.sub(r"\\.", "", text)
point("Markdown: no HTML, no code, no row and no line came out of a text", [
    *controls(text), *re.findall(r"(?i)<(?:img|script|/script|u)\b.*", bare),
    *[line for line in text.splitlines() if line.startswith("::")],
    *[f"row of other width: {block}" for block in re.findall(r"(?:^\|.*\n)+", bare, re.M) if len({row.count("|") for row in block.splitlines()}) > 1]])
text = written("junit")
point("JUnit: XML that is well formed, the text in it as text", [*controls(text, "\n\t"),
      *[f"<{element.tag}>" for element in tree.fromstring(text.encode()).iter() if element.tag not in ("testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out", "system-err", "properties", "property")]])
text = written("journal")
point("the journal is JSON without a control", [*controls(text, "\n\t", data=True), *([] if isinstance(json.loads(text), dict) else ["no object"])])
text = written("json")
point("the result document too", [*controls(text, "\n\t", data=True), *([] if "PWNED" in json.loads(text)["run"]["title"] else ["its title is another"])])
text = written("github")
point("annotations: each is one command, and ours", [*controls(text), *[line for line in text.splitlines() if not re.match(r"::(notice|warning|error) file=[^:,\n]*,line=1,title=[^:,\n]*::[^\r\n]*$", line)]])

# ---- lists -----------------------------------------------------------------------------------------------------------------
for words in (["runs"], ["findings", "--all"], ["trend", path], ["report", "--since", "1d"], ["report", "--since", "1d", "--format", "html"], ["compare", here, here], ["watch", here]):
    status, out, err = run(*words)
    complaints = [*([] if status in (0, 1, 2, 64, 65) else [f"status {status}"]), *controls(out + err, "\n\t")]
    if "html" in words:
        page = Page()
        page.feed(out)
        complaints += page.found
    point("perturb " + " ".join(os.path.basename(w) for w in words), complaints)

# ---- a program that runs --------------------------------------------------------------------------------------------------
server = subprocess.Popen([perturb, "exec", "--", program, f"{work}/server.py", LINE, NAME, "0", f"{work}/log"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
deadline, listed = time.monotonic() + limit, ""
while time.monotonic() < deadline and "srv" not in listed:
    listed = run("ps")[1]
children = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split()
point("perturb ps", [*controls(listed), *([] if "srv" in listed else [f"the program is not in it: {listed!r}"])])
for words in [["ps", "--format", "json"], *[["doctor", child] for child in children], *[["doctor", child, "--format", "json"] for child in children], ["doctor", program]]:
    status, out, err = run(*words)
    point("perturb " + re.sub(r"\d+", "PID", " ".join("PROGRAM" if w == program else w for w in words)), [*controls(out + err, data="json" in words), *[line for line in out.splitlines() if "json" in words and not isinstance(json.loads(line), dict)]])
for child in children:
    os.kill(int(child), 15)
err = server.communicate(timeout=limit)[1].decode("utf-8")
point("what exec tells at the end", controls(err))
shutil.rmtree(work, ignore_errors=True)
print(f"1..{count}")
sys.exit(failures > 0)
