"""`make screenshot`: write docs/docs-page.png, a bind request on the documentation page of a temporary server."""

import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, ViewportSize, expect

from tests.browser import browsers
from tests.server.servers import Server
from tools.template import ROOT

PATH = ROOT / "docs" / "docs-page.png"
# The credentials in the picture belong to a server whose state is deleted afterwards.
OPERATION = "rufus.bind_device"
WIDTH = 1100


def main() -> None:
    """Bind a device on the page, and save a picture of the request and the response."""
    with tempfile.TemporaryDirectory() as folder, browsers.opened() as browser:
        server = Server(Path(folder) / "state")
        try:
            page = browser.new_page(viewport=ViewportSize(width=WIDTH, height=1500))
            page.goto(f"{server.url}/docs")
            block = browsers.operation(page, OPERATION)
            block.get_by_role("textbox").first.evaluate("body => body.style.minHeight = body.style.height = '6em'")
            block.get_by_role("button", name="Execute").click()
            response = block.locator(".live-responses-table .response")
            expect(response.locator(".response-col_status")).to_have_text("201")
            page.get_by_role("heading", name="rufus").evaluate("heading => heading.scrollIntoView()")
            box = response.bounding_box()
            assert box is not None
            shown = FloatRect(x=0, y=0, width=WIDTH, height=box["y"] + box["height"])
            page.screenshot(path=PATH, animations="disabled", clip=shown)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
