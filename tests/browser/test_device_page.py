"""A device's own page in a real browser, at the host name of a connection."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.browsers import visited
from tests.server.programs import agent, eventually, operate
from tests.server.servers import Server

PAGE = b"""<!doctype html><link rel="icon" href="data:,"><script src="/page.js" defer></script>
<form method="post" action="/name"><input name="name"><button>Save</button></form><p id="name"></p>"""
SCRIPT = b"fetch('/name').then(got => got.text()).then(name => { document.getElementById('name').textContent = name })"


class Page(BaseHTTPRequestHandler):
    """A page with a script, a form and a cookie."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        content = {"/": PAGE, "/page.js": SCRIPT, "/name": (self.headers["Cookie"] or "nobody").encode()}[self.path]
        kind = {"/": "text/html; charset=utf-8", "/page.js": "text/javascript"}.get(self.path, "text/plain")
        self.respond(200, content, ("Content-Type", kind))

    def do_POST(self) -> None:
        given = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.respond(303, b"", ("Location", "/"), ("Set-Cookie", given))

    def respond(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Do not log."""


@pytest.fixture
def device(server: Server, tmp_path: Path) -> Iterator[None]:
    """Put the demo camera online, with the page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        service = f"--service=http=127.0.0.1:{serving.server_address[1]}"
        credential = server.environment["REMOTEIT_DEVICE_CREDENTIAL"]
        with agent(server, tmp_path, credential, "bindery_agent.py", service):
            address = server.environment["REMOTEIT_DEVICE_ADDRESS"]
            eventually(lambda: operate(server, "show", "--address", address)["presence"]["state"], "online")
            yield
        serving.shutdown()


def test_page_of_a_device_works_in_a_browser(server: Server, browser: Browser, device: None) -> None:
    demo = server.environment
    credentials = {"token": demo["REMOTEIT_TOKEN"], "developerkey": demo["REMOTEIT_DEVELOPER_KEY"]}
    asked = {"deviceaddress": demo["REMOTEIT_DEVICE_ADDRESS"]}
    opened = httpx.post(f"{server.url}/apv/v27/device/connect", headers=credentials, json=asked).json()
    with visited(browser, opened["connection"]["proxy"]) as page:
        expect(page.locator("#name")).to_have_text("nobody")
        page.locator("input").fill("Ada")
        page.locator("button").click()
        expect(page.locator("#name")).to_have_text("name=Ada")
