"""A shop of one page: the page is for everybody, the basket in it is somebody's own. Says what it is asked for."""

from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"""<!doctype html>
<title>Chair</title>
<header><esi:include src="/part/basket"/></header>
<h1>Chair</h1>
<p>The same for everybody, from the cache.</p>
"""


class Shop(BaseHTTPRequestHandler):
    """Answers two addresses."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """The page, or the visitor's basket."""
        if self.path == "/":
            fields = {
                "Cache-Control": "max-age=0, s-maxage=60",
                "Surrogate-Control": 'content="ESI/1.0"',
            }
            self.answer(200, PAGE, fields)
        elif self.path == "/part/basket":
            session = SimpleCookie(self.headers.get("Cookie", "")).get("session")
            owner = session.value if session and session.value.isalnum() else "nobody"
            self.answer(200, f"Basket of {owner}".encode(), {"Cache-Control": "private"})
        else:
            self.answer(404, b"not here", {})

    def answer(self, status, body, fields):
        """Sends a response."""
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **fields}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 3000), Shop).serve_forever()
