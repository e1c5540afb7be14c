"""What stands behind the edge: a few answers of HTTP/1.1, and a note of what was asked."""

import http.server
import json
import threading
import time


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/trailers":
            self.head(("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"))
            self.wfile.write(b"5\r\nhello\r\n0\r\nX-Sum: five\r\n\r\n")
        elif self.path.startswith("/bytes/"):
            self.whole(b"b" * int(self.path.split("/")[2]))
        elif self.path == "/slow":
            time.sleep(0.3)
            self.whole(b"slow")
        elif self.path == "/fields":
            self.whole(json.dumps(self.headers.items()).encode())
        else:
            self.whole(b"hello")

    do_HEAD = do_OPTIONS = do_GET

    def handle_expect_100(self):
        """/slow takes a while to say that the content may come."""
        if self.path == "/slow":
            time.sleep(0.3)
        return super().handle_expect_100()

    def do_POST(self):
        """Says what came: the content's length, how it was framed, and its trailers."""
        self.asked.append(self.path)
        count, trailers, length = 0, {}, self.headers.get("Content-Length")
        if length is not None:
            count = len(self.rfile.read(int(length)))
        elif self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                # Counted, not gathered: to copy some MiB for each of thousands of chunks takes longer than a case may.
                count += len(self.rfile.read(size))
                self.rfile.readline()
            while (line := self.rfile.readline().strip()):
                name, _, value = line.decode().partition(": ")
                trailers[name.lower()] = value
        self.whole(json.dumps({"bytes": count, "length": length, "trailers": trailers}).encode())

    def head(self, *fields):
        self.send_response(200)
        for name, value in (("Cache-Control", "no-store"), *fields):
            self.send_header(name, value)
        self.end_headers()

    def whole(self, content):
        self.head(("Content-Length", str(len(content))))
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Whose request was taken back is no fault."""


def start():
    """Its port."""
    server = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
