"""docs/proof.md lists every mutation, and every mutation matches the code and names existing tests."""

import re

import pytest

from tests.properties import mutations
from tests.properties.mutations import ROOT, Mutation


def test_document_lists_the_current_mutations() -> None:
    assert mutations.TABLE.findall(mutations.DOCUMENT.read_text()) == [mutations.table()]


def test_named_tests_exist() -> None:
    named = {path for page in ROOT.glob("docs/*.md") for path in re.findall(r"`(tests/[\w/.]+)`", page.read_text())}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_promise_has_a_mutation() -> None:
    assert {mutation.promise for mutation in mutations.mutations()} == {*"123456789", "10", "11", "12", "contract"}


@pytest.mark.parametrize("mutation", mutations.mutations(), ids=lambda mutation: mutation.name)
def test_mutation_matches_one_text_and_names_existing_checks(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.text) == 1
    assert mutation.instead != mutation.text
    assert mutation.checks
    for check in mutation.checks:
        file, _, name = check.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()
