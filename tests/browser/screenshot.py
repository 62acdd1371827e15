"""`make screenshot`: docs/docs-page.png, the documentation page after an operation was tried on a server of its own."""

import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, expect

from tests.browser import browsers
from tests.http.servers import Server
from tools.template import ROOT

PATH = ROOT / "docs" / "docs-page.png"
OPERATION = "vodlix.get_configs"
"""One without a credential, so that the picture has none."""


def main() -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as folder, browsers.opened() as browser:
        server = Server(Path(folder) / "state")
        try:
            page = browser.new_page(viewport=ViewportSize(width=1100, height=1060))
            page.goto(f"{server.url}/docs")
            block = browsers.operation(page, OPERATION)
            block.get_by_role("button", name="Execute").click()
            expect(block.locator(".live-responses-table .response .response-col_status")).to_have_text("200")
            page.get_by_role("heading", name="vodlix").evaluate("heading => heading.scrollIntoView()")
            page.screenshot(path=PATH, animations="disabled")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
