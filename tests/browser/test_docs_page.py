"""The documentation page in a real browser."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.staticfiles import StaticFiles

from tests import documented
from tests.browser.browsers import operation, visited
from tests.server.servers import Server, serving
from tools.generate import openapi
from tools.template import ROOT

OPERATIONS = sum(
    not re.search(r"\.\d+$", operation["operationId"])
    for path, operations in openapi.document()["paths"].items()
    for operation in operations.values()
    if not re.match(r"/admin/v1/.*\}/", path)
)
"""Operations on the page, each under its first path only, without operators' actions on one record."""
TRIED: dict[str, tuple[int, dict[str, Any]]] = {
    "rufus.bind_device": (201, {"description": "Device binded succesfully"}),
    "rufus.get_device": (200, {}),
    "rufus.unbind_device": (200, {}),
    "quectel.email_pwd_login": (200, {"code": 200, "msg": ""}),
    "remoteit.login": (200, {"status": "true"}),
    "quectel.bind_device_sn": (200, {"code": 200, "msg": ""}),
    "asseco.register_owned_device": (200, {"id": "990000862471854", "CreatedRecordStatus": "active"}),
    "remoteit.connect_device": (200, {"status": "true"}),
    "vodlix.add_device": (200, {"status": 200, "message": "Success"}),
}
"""Status and constant response members of operations of each API, in an order in which they succeed."""


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The documentation page of the local server."""
    with visited(browser, f"{server.url}/docs") as shown:
        yield shown


@pytest.fixture(scope="module")
def exported(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page as `make docs` writes it, on a static file server."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "tools.docs", folder], cwd=ROOT, check=True, capture_output=True)

    with serving(StaticFiles(directory=folder, html=True)) as url, visited(browser, url) as shown:
        yield shown


@pytest.mark.parametrize("name", TRIED)
def test_operation_tried_on_the_page_shows_its_response(page: Page, name: str) -> None:
    status, members = TRIED[name]
    block = operation(page, name)
    with page.expect_response(lambda response: "/docs" not in response.url) as answered:
        block.get_by_role("button", name="Execute").click()
    sent = answered.value.headers
    headers = {header: sent[header.lower()] for header in ("Content-Type", "Location") if header.lower() in sent}
    answer = block.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_have_text(str(status))
    body = answer.locator(".highlight-code pre").first.inner_text()
    documented.check(name, {}, status, headers, body)
    assert members.items() <= json.loads(body).items()


def test_admin_operations_are_described_but_cannot_be_tried(page: Page) -> None:
    block = operation(page, "admin.accounts.create")
    expect(block.get_by_text("Create an account.")).to_be_visible()
    expect(block.get_by_role("button", name="Execute")).to_have_count(0)
    expect(block.get_by_role("button", name="Try it out")).to_have_count(0)
    expect(page.get_by_text("signs its requests; this page cannot.")).to_be_visible()


def test_exported_page_shows_operations_without_try_it_out(exported: Page) -> None:
    expect(exported.locator(".opblock")).to_have_count(OPERATIONS)
    block = operation(exported, "rufus.bind_device")
    expect(block.get_by_text("Invalid api key").first).to_be_attached()
    expect(exported.get_by_role("button", name="Execute")).to_have_count(0)
    expect(exported.get_by_role("button", name="Try it out")).to_have_count(0)
