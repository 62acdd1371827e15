"""The examples of docs/infrastructure-as-code.md, read from the page itself."""

import re

from tools.deploying import EXAMPLES


def example(file: str) -> str:
    """The code that the page shows for a file of that name."""
    _, _, rest = EXAMPLES.read_text().partition(f"`{file}`:\n\n")
    found = re.match(r"```\w+\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
    assert found, file
    return found[1]
