"""docs/deploying.md is true of the template, parameter by parameter, and what it links to is there."""

import re

import pytest

from tools import deploying, template
from tools.template import ROOT

PAGE = deploying.PAGE.read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_tables_are_the_templates():
    assert deploying.rendered(PAGE) == PAGE, "make tables"


def test_every_reason_and_every_cost_is_of_something_that_is_there():
    for resource, action in deploying.WHY:
        assert f"| `{resource}` | `{action}` |" in PAGE
    for kind in deploying.IDLE:
        assert f"| `{kind}` |" in PAGE


@pytest.mark.parametrize("name", template.document()["Parameters"])
def test_a_parameter_has_its_row(name: str):
    assert PAGE.count(f"| `{name}` |") == 1


def test_what_the_page_refers_to_is_there():
    pages = {"": PAGE} | {name: (ROOT / "docs" / name).read_text() for name in ("operating.md",)}
    for file, anchor in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", PAGE):
        assert anchor in {slug(heading) for heading in re.findall(r"^#+ (.+)$", pages[file], re.MULTILINE)}
    for target in re.findall(r"(?:^|`)(?:\w+=\S+ )*make (\w+)", PAGE, re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_the_page_uses_every_parameter_and_output_by_its_name():
    parts = template.document()
    known = parts["Parameters"].keys() | parts["Outputs"].keys()
    for name in re.findall(r"--parameter-overrides (\w+)=", PAGE):
        assert name in known
    assert {"Url", "DomainTarget"} <= known
