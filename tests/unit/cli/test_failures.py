"""Every error ends a command with an exit code of its own kind, and one line."""

import pytest

from dadm.domain import errors
from dadm.domain.errors import DadmError, EngineUnavailable, StoreUnavailable, UnknownThread
from dadm.entrypoints.cli.failures import (
    BAD_INPUT,
    EXIT_CODE_OF,
    REFUSED,
    UNUSABLE,
    exit_code_of,
    only_known,
    tell_failure,
)


def tree(root: type[DadmError]) -> set[type[DadmError]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def test_the_table_has_every_error_of_the_tree_and_no_other() -> None:
    assert set(EXIT_CODE_OF) == {
        kind for kind in tree(DadmError) if kind.__module__ == errors.__name__
    }


def test_there_are_three_codes_for_failures() -> None:
    assert set(EXIT_CODE_OF.values()) == {BAD_INPUT, UNUSABLE, REFUSED} == {2, 3, 4}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidModel("x"), 2),
        (errors.SettingsError("x"), 2),
        (errors.UnknownProcess("x"), 2),
        (errors.UnknownAssistant("x"), 2),
        (errors.BackendUnavailable("x"), 3),
        (errors.EngineUnavailable("x"), 3),
        (errors.StoreUnavailable("x"), 3),
        (errors.StoreMisconfigured("x"), 3),
        (errors.EngineRejected("x"), 4),
        (errors.ThreadErased("x"), 4),
        (errors.TaskIdentityConflict("x"), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_the_code_of_its_kind(error: DadmError, code: int) -> None:
    assert exit_code_of(error) == code


def test_an_error_that_is_not_in_the_table_has_the_code_of_its_parent() -> None:
    class SpecialRejection(errors.EngineRejected):
        """A kind that somebody adds and forgets here."""

    try:
        assert exit_code_of(SpecialRejection("x")) == REFUSED
    finally:
        del SpecialRejection


def test_a_failure_is_told_on_standard_error_and_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_failure("no \x1b[2Jprocess\x9b5m called \u202ex.")

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Error: no \\x1b[2Jprocess\\x9b5m called \\u202ex.\n"


def test_the_first_error_of_a_group_of_ours_is_found_however_deep() -> None:
    first = StoreUnavailable("first")
    group = ExceptionGroup("", [ExceptionGroup("", [first]), EngineUnavailable("second")])

    assert only_known(group) is first


def test_a_group_with_a_fault_in_it_is_not_taken_for_an_error_of_ours() -> None:
    assert only_known(ExceptionGroup("", [UnknownThread("x"), KeyError("y")])) is None
