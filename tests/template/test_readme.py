"""The README's table of operations is the template's."""

import re

from tools import template

ROW = re.compile(r"^\| `(?:(\w+) )?([^` ]+)` \| `([^`]+)` \| [^|]+ \|$", re.MULTILINE)


def test_the_readme_lists_every_route_with_its_function_and_no_other() -> None:
    text = (template.ROOT / "README.md").read_text()
    listed = [(method or "$default", path, name) for method, path, name in ROW.findall(text)]
    deployed = [
        (route.method, route.path, function.name.replace(".", "/"))
        for function in template.functions()
        for route in function.routes
    ]
    assert sorted(listed) == sorted(deployed)
