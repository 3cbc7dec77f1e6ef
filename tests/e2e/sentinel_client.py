"""A client of Redis that knows the address of a Sentinel and nothing else: an HTTP server whose every answer is a write and a read
of the master. `sentinel_client.py PORT SENTINEL-PORT LOG`; the log tells each master it was sent to, by the monotonic clock."""
import http.server
import socket
import sys
import threading
import time

PORT, SENTINEL, LOG = int(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "a", buffering=1)
here = threading.local()
last_master = [None]
lock = threading.Lock()


class Redis:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=0.2)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        text = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (w.encode() for w in words))
        self.socket.sendall(text)
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line or line[:1] == b"-":
            raise OSError(line or b"the end of the stream")
        if line[:1] == b"*":
            return [self.reply() for _ in range(int(line[1:]))]
        if line[:1] == b"$":
            return self.file.read(int(line[1:]) + 2)[:-2] if line[1:2] != b"-" else None
        return line[1:-2]

    def close(self):
        self.file.close()
        self.socket.close()


def find_master():
    sentinel = Redis(("127.0.0.1", SENTINEL))
    host, port = sentinel.ask("SENTINEL", "get-master-addr-by-name", "mymaster")
    sentinel.close()
    with lock:
        if port != last_master[0]:
            LOG.write("%d master %s\n" % (time.monotonic_ns(), port.decode()))
            last_master[0] = port
    return Redis((host.decode(), int(port)))


def work():
    try:
        if not getattr(here, "redis", None):
            here.redis = find_master()
        here.redis.ask("SET", "key", "value")
        return here.redis.ask("GET", "key") == b"value"
    except (OSError, ValueError) as error:
        LOG.write("%d failed %s\n" % (time.monotonic_ns(), error))
        if getattr(here, "redis", None):
            here.redis.close()
        here.redis = None
        return False


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        good = work()
        self.send_response(200 if good else 503)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n" if good else b"no\n")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
