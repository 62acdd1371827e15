"""docs/proof.md lists every mutation, and every mutation still says what to break and which check finds it."""

import pytest

from tests.proof import mutations
from tests.proof.mutations import ROOT, Mutation

every_mutation = pytest.mark.parametrize("mutation", mutations.mutations(), ids=lambda mutation: mutation.name)


def test_the_document_has_the_mutations_as_they_are() -> None:
    assert mutations.TABLE.findall(mutations.DOCUMENT.read_text()) == [mutations.table()]


def test_every_promise_is_broken() -> None:
    assert {mutation.promise for mutation in mutations.mutations()} == {*"123456789", "contract"}


def test_no_two_mutations_are_alike() -> None:
    found = mutations.mutations()
    assert len({mutation.name for mutation in found}) == len(found)
    assert len({(mutation.file, mutation.text, mutation.instead) for mutation in found}) == len(found)


@every_mutation
def test_a_mutation_names_one_text_and_checks_that_are_there(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.text) == 1
    assert mutation.instead != mutation.text
    assert mutation.checks
    for check in mutation.checks:
        file, _, name = check.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()
