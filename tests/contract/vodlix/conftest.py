import pytest

from bindery.core import clock
from bindery.http.messages import Call
from tests.vodlix import NOW


@pytest.fixture(autouse=True)
def _then(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(Call, "elapsed", lambda self: 0.58312)
