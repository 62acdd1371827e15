"""Read the examples of docs/infrastructure-as-code.md from the page."""

import re

from tools.generate.deploying import EXAMPLES


def example(file: str) -> str:
    """Return the code that the page shows for a file."""
    _, _, rest = EXAMPLES.read_text().partition(f"`{file}`:\n\n")
    found = re.match(r"```\w+\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
    assert found, file
    return found[1]
