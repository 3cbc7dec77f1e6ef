#!/usr/bin/env python3
"""Completion in the shells themselves: each is started on a terminal, given the file that is installed, typed at, and read.

beside: others
"""
import os, pty, re, select, shutil, signal, subprocess, sys, tempfile, time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.path.realpath(os.environ.get("BUILD", os.path.join(root, "build")))
scripts = os.path.join(root, "controller/packaging/completion")
limit = 20 * float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000
count = failures = 0


def point(name, complaint):
    global count, failures
    count += 1
    failures += bool(complaint)
    print(f"{'not ' if complaint else ''}ok {count} - {name}", flush=True)
    for line in str(complaint or "").splitlines():
        print("#", line)


def skip(name, reason):
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {reason}", flush=True)


class Shell:
    """A shell on a terminal of its own; what it shows is read until something is there."""

    def __init__(self, argv, directory, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(argv[0], argv, environment)
        self.screen = ""

    def type(self, text):
        self.screen = ""
        os.write(self.fd, text.encode())

    def await_text(self, pattern):
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()=>][0-9A-B]?|\r", "", self.screen)
            while "\x08" in plain:  # steps back, and what stands there is written over
                at = plain.index("\x08")
                back = len(re.match("\x08+", plain[at:]).group())
                rest = plain[at + back:]
                over = len(rest.split("\n")[0].split("\x08")[0])
                plain = plain[: at - back] + rest[:over] + plain[at - back + over: at] + rest[over:]
            if re.search(pattern, plain):
                return True
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.screen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    break
        return False

    def end(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self.fd)


work = tempfile.mkdtemp(prefix="completion-")
os.mkdir(f"{work}/books")
os.mkdir(f"{work}/bin")
os.symlink(f"{build}/perturb", f"{work}/bin/perturb")
for book in ("only-one", "two-a", "two-b"):
    open(f"{work}/books/{book}.yaml", "w").close()
environment = dict(os.environ, PATH=f"{work}/bin:{os.environ['PATH']}", TERM="dumb", HOME=work, PS1="READY> ", LC_ALL="C.UTF-8")
# What is typed, and what must stand on the line or in the list then.
cases = (
    ("a command", "perturb docto\t", r"perturb doctor"),
    ("a fault by its beginning", "perturb exec -f alloc_f\t", r"alloc_fail"),
    ("a point of a fault", "perturb exec -f latency@fsy\t", r"latency@fsync"),
    ("a parameter after a comma", "perturb exec -f latency:300ms,jitt\t", r"latency:300ms,jitter="),
    ("an option", "perturb run --dry\t", r"--dry-run"),
    ("a word of an option", "perturb exec --backend pre\t", r"--backend preload"),
    ("a playbook in a directory", "perturb check books/only\t", r"books/only-one\.yaml"),
    ("several playbooks, as a list", "perturb check books/two\t\t\t", r"(?s)two-a\.yaml.*two-b\.yaml"),
    ("the newest run", "perturb report la\t", r"report last"),
    ("a process", f"perturb doctor {os.getpid()}\t", rf"doctor {os.getpid()}"),
)
def asked(shell, line):
    """What the shell itself would offer, without a terminal: bash by its function, fish by `complete -C`."""
    if shell == "bash":
        text = f"source {scripts}/perturb.bash; COMP_LINE=$1; COMP_POINT=${{#1}}; compopt() {{ :; }}; _perturb; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        argv = ["bash", "--norc", "--noprofile", "-c", text, "bash", line]
    else:
        argv = ["fish", "--no-config", "-c", f"source {scripts}/perturb.fish; complete -C $argv[1]", line]
    return subprocess.run(argv, cwd=work, env=environment, capture_output=True, text=True, timeout=limit).stdout


for name, keys, wanted in cases:
    line = keys.rstrip("\t")
    last = re.search(r"@?[^ :@=]*$", line).group()  # what readline takes for the word
    for shell in ("bash", "fish"):
        if not shutil.which(shell):
            skip(f"{shell}: {name}", f"{shell} is not installed")
            continue
        out = asked(shell, line)
        whole = line[: len(line) - len(last if shell == "bash" else line.split(" ")[-1])]
        found = [whole + word.split("\t")[0] for word in out.splitlines()]
        seen = "\n".join(sorted(found))
        point(f"{shell}: {name}", "" if re.search(wanted, seen) else f"offered {out[:600]!r}")

# On a terminal, each typed at as by a person. A shell a case: what one case leaves on the line is not the next one's.
terminals = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"bind 'set bell-style none'; source {scripts}/perturb.bash; PS1='REA''DY> '\n", cases[:4]),
    "zsh": (["zsh", "-f", "-i"], f"fpath=({scripts} $fpath); autoload -U compinit; compinit -u -D; unsetopt beep; PS1='REA''DY> '\n", cases),
}
for shell, (argv, setup, typed) in terminals.items():
    for name, keys, wanted in typed:
        if not shutil.which(shell):
            skip(f"{shell} on a terminal: {name}", f"{shell} is not installed")
            continue
        terminal = Shell(argv, work, environment)
        terminal.type(setup)
        seen = terminal.await_text(r"READY> ")
        terminal.type(keys)
        point(f"{shell} on a terminal: {name}", "" if seen and terminal.await_text(wanted) else f"typed {keys!r}, saw {terminal.screen[-300:]!r}")
        terminal.end()

# Names that a program of the machine chose do not break a line of the list.
os.symlink(shutil.which("sleep"), f"{work}/bad\tname\nrun\x1b[31m")
hostile = subprocess.Popen([f"{work}/bad\tname\nrun\x1b[31m", "60"])
out = subprocess.run([f"{build}/perturb", "complete", "--", "doctor", str(hostile.pid)], capture_output=True).stdout
hostile.kill()
hostile.wait()
point("a hostile name stays within its line", "" if len(out.splitlines()) == 2 and b"\x1b" not in out and out.splitlines()[1] == b":files\t" else repr(out))
out = subprocess.run([f"{build}/perturb", "complete", "--", "exec", "--", "ls", ""], capture_output=True).stdout
point("the words of a program are left to the shell", "" if out == b":files\t\n" else repr(out))
shutil.rmtree(work)
print(f"1..{count}")
sys.exit(failures > 0)
