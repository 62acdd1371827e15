"""What compares the template with all that the suite called runs last, and only when the whole suite runs."""

from pathlib import Path

import pytest

COMPARISON = Path(__file__).with_name("test_exact.py")
TESTS = COMPARISON.parent.parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    last = [item for item in items if item.path == COMPARISON]
    others = [item for item in items if item.path != COMPARISON]
    chosen = any(config.getoption(option) for option in ("keyword", "markexpr", "deselect", "lf")) or any(
        "::" in argument for argument in config.args
    )
    whole = {item.path for item in others} >= set(TESTS.rglob("test_*.py")) - {COMPARISON}
    if chosen or not whole:
        config.hook.pytest_deselected(items=last)
        last = []
    items[:] = others + last
