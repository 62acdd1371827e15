"""What stands a second time where people or functions look for it is the template's: `make tables` writes it."""

import re

import pytest

from tools import routes, template

INVOKED = re.compile(r"sam local invoke (\w+) -e (\S+)")


@pytest.mark.parametrize(("path", "made"), [(routes.MODULE, routes.module), (routes.README, routes.readme)])
def test_every_route_stands_in_its_tables_and_no_other_does(path, made) -> None:
    assert path.read_text() == made(), "run: make tables"


def test_what_is_invoked_with_sam_local_is_a_function_with_its_own_event() -> None:
    functions = {function.logical_id: function for function in template.functions()}
    documents = [template.ROOT / "README.md", template.ROOT / "CONTRIBUTING.md", *template.ROOT.glob("docs/*.md")]
    invoked = [found for document in documents for found in INVOKED.findall(document.read_text())]
    assert invoked
    for logical_id, event in invoked:
        assert functions[logical_id].event == template.ROOT / event
