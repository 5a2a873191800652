"""The page's server: on this machine alone, for this page alone, without a file written or a host asked."""

from __future__ import annotations

import json
import sys
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from typing import Any

from millrace.ir.errors import ArgumentError, MillraceError
from millrace.look.views import Views
from millrace.words import words

ADDRESS = "127.0.0.1"
LONGEST = 4_000_000  # bytes of a question
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
HEADERS = {
    # nothing from anywhere else, nothing written into the page: no script but those of the package
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class LookServer(ThreadingHTTPServer):
    """Serves the page of one subject on 127.0.0.1.  Raises ArgumentError where the port cannot be had."""

    daemon_threads = True

    def __init__(self, views: Views, port: int = 0):
        if not 0 <= port <= 65535:
            raise ArgumentError(f"--port must be from 0 to 65535, got {port}.")
        self.views, self.files = views, page_files(views)
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise ArgumentError(
                f"port {port} of {ADDRESS} cannot be had ({error.strerror}): leave --port out to take one that is free."
            ) from None
        here = self.server_address[1]
        # a page of another host whose name was made to lead here is refused by the name that it asks for
        self.hosts = {f"{name}:{here}" for name in (ADDRESS, "localhost")}
        if here == 80:  # which browsers leave out
            self.hosts |= {ADDRESS, "localhost"}

    def server_bind(self) -> None:
        """Without the name of this machine, which http.server asks the resolver for."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in the middle of an answer is no fault."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"


def page_files(views: Views) -> dict[str, tuple[str, bytes]]:
    """What can be fetched: path to (type, content). The page itself is at "/"."""
    found = {}
    for file in files("millrace.look").joinpath("page").iterdir():
        ending = file.name.rpartition(".")[2]
        if ending in TYPES:
            found[f"/{file.name}"] = (TYPES[ending], file.read_bytes())
    language = views.language
    told = words("look", language)
    kind, page = found.pop("/look.html")
    title = told["page"]["title"].format(name=views.looking.subject.name)
    filled = page.decode().replace("LANGUAGE", {"zh": "zh-Hans"}.get(language, language))
    found["/"] = (kind, filled.replace("TITLE", escape(title)).encode())
    found["/words.json"] = ("application/json", json.dumps(told["page"]).encode())
    return found


class Handler(BaseHTTPRequestHandler):
    """GET for the page's files, POST /ask/NAME with a question as JSON."""

    protocol_version = "HTTP/1.1"
    server: LookServer

    def do_GET(self) -> None:
        if not self._welcome():
            return
        kind, content = self.server.files.get(self.path.partition("?")[0], ("", b""))
        if not kind:
            return self._refuse(404, "there is no such file here.")
        self._send(200, kind, content)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if not self._welcome():
            return
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()) or int(text) > LONGEST:
            return self._refuse(413, f"a question has at most {LONGEST:,} bytes, and says how many.")
        body = self.rfile.read(int(text))
        if self.headers.get_content_type() != "application/json":
            return self._refuse(415, "a question is JSON.")
        if not self.path.startswith("/ask/"):
            return self._refuse(404, "there is no such question here.")
        try:
            question = json.loads(body)
        except (ValueError, RecursionError):
            return self._refuse(400, "the question is no JSON.")
        try:
            answer = self.server.views.answer(self.path.removeprefix("/ask/"), question)
        except MillraceError as error:
            return self._refuse(400, str(error))
        except Exception as error:  # said on the page: the server lives on
            return self._refuse(500, f"a fault of Millrace: {type(error).__name__}: {error}")
        self._send(200, "application/json", json.dumps(finite(answer)).encode())

    def _welcome(self) -> bool:
        """Whether the request is of this very page; if not it is refused."""
        origin = self.headers.get("Origin")
        fine = self.headers.get("Host", "") in self.server.hosts
        if fine and (origin is None or origin.removeprefix("http://") in self.server.hosts):
            return True
        self.close_connection = True
        self._refuse(403, "this page is for this machine alone, under 127.0.0.1.")
        return False

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True  # what is left of the question is not read
        self._send(status, "application/json", json.dumps({"error": why}).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal stays quiet."""


def finite(answer: Any) -> Any:
    """An answer with null for what JSON has no number for: infinite and NaN."""
    if isinstance(answer, dict):
        return {key: finite(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [finite(value) for value in answer]
    if isinstance(answer, float) and (answer != answer or answer in (float("inf"), float("-inf"))):
        return None
    return answer
