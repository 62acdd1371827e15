"""Run the comparison with recorded calls last, and only if the whole suite runs.

If several processes run the suite, none of them has all the calls: the comparison then needs a separate run, by name.
"""

from pathlib import Path

import pytest

from tests import calls

COMPARISON = Path(__file__).with_name("test_exact.py")
TESTS = COMPARISON.parent.parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    last = [item for item in items if item.path == COMPARISON]
    others = [item for item in items if item.path != COMPARISON]
    if last and not others and (noted := config.cache.get(calls.CACHE, None)):
        calls.add(noted)
        return
    chosen = any(config.getoption(option) for option in ("keyword", "markexpr", "deselect", "lf")) or any(
        "::" in argument for argument in config.args
    )
    whole = {item.path for item in others} >= set(TESTS.rglob("test_*.py")) - {COMPARISON}
    if chosen or not whole or hasattr(config, "workerinput"):
        config.hook.pytest_deselected(items=last)
        last = []
    items[:] = others + last
