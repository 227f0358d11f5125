"""What the shell is told when a command fails: one line on standard error, and an exit code."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from dadm.domain import errors
from dadm.domain.errors import DadmError
from dadm.entrypoints.cli.output import shown_text

BAD_INPUT = 2
"""The command, a file or a setting is wrong: it fails again until that is changed."""

UNUSABLE = 3
"""A database, a backend or an engine cannot be reached or used."""

REFUSED = 4
"""It was understood and not done, because of how things stand."""

EXIT_CODE_OF: Mapping[type[DadmError], int] = MappingProxyType(
    {
        errors.DadmError: REFUSED,
        errors.RequestError: BAD_INPUT,
        errors.UnknownAssistant: BAD_INPUT,
        errors.UnknownThread: BAD_INPUT,
        errors.UnknownProcess: BAD_INPUT,
        errors.ThreadClosed: REFUSED,
        errors.ThreadErased: REFUSED,
        errors.InvalidTask: BAD_INPUT,
        errors.InvalidModel: BAD_INPUT,
        errors.InvalidAssistant: BAD_INPUT,
        errors.TaskContentChanged: REFUSED,
        errors.TaskIdentityConflict: REFUSED,
        errors.BackendError: UNUSABLE,
        errors.BackendUnavailable: UNUSABLE,
        errors.BackendResting: UNUSABLE,
        errors.OutcomeUnknown: UNUSABLE,
        errors.ConversationBusy: REFUSED,
        errors.BackendRefused: REFUSED,
        errors.AnswerCutShort: REFUSED,
        errors.BackendMisconfigured: UNUSABLE,
        errors.ConversationLost: UNUSABLE,
        errors.TooManyLost: UNUSABLE,
        errors.ConversationBroken: REFUSED,
        errors.ConversationTooLong: REFUSED,
        errors.EngineError: UNUSABLE,
        errors.EngineUnavailable: UNUSABLE,
        errors.EngineAccessRefused: UNUSABLE,
        errors.EngineRejected: REFUSED,
        errors.TaskGone: REFUSED,
        errors.LeaseLost: REFUSED,
        errors.StoreError: UNUSABLE,
        errors.StoreUnavailable: UNUSABLE,
        errors.StoreMisconfigured: UNUSABLE,
        errors.ThreadConflict: REFUSED,
        errors.ServiceUnavailable: UNUSABLE,
        errors.TooManyWaiting: REFUSED,
        errors.ShuttingDown: REFUSED,
        errors.SettingsError: BAD_INPUT,
    }
)
"""The exit code of every error in the tree."""


def exit_code_of(error: DadmError) -> int:
    """Give the exit code for `error`."""
    return next(EXIT_CODE_OF[kind] for kind in type(error).__mro__ if kind in EXIT_CODE_OF)


def tell_failure(message: str) -> None:
    """Write one line (or several, where the message lists findings) on standard error."""
    print(f"Error: {shown_text(message)}", file=sys.stderr)


def only_known(group: BaseExceptionGroup[BaseException]) -> DadmError | None:
    """Give the first error of a group that holds none but ours; None where another is in it."""
    ours, others = group.split(DadmError)
    found: BaseException | None = ours
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if others is None and isinstance(found, DadmError) else None
