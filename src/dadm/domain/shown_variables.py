"""Which process variables a thread's conversation still holds, of those it was shown."""

from collections.abc import Mapping

from dadm.domain.thread import Generation, Thread

SEPARATOR = ":"


def marked(shown: Mapping[str, str], *, sequence: int, generation: int) -> dict[str, str]:
    """Say of each variable's digest which turn showed it, and on which conversation.

    The marks are what `Thread.shown` is made of.
    """
    return {
        name: f"{digest}{SEPARATOR}{sequence}{SEPARATOR}{generation}"
        for name, digest in shown.items()
    }


def still_shown(thread: Thread) -> dict[str, str]:
    """Give the digests of the variables that the live conversation holds, by name.

    One that was shown in an exchange which was not copied into it is to be shown again.
    """
    found = {}
    for name, mark in thread.shown.items():
        digest, _, place = mark.partition(SEPARATOR)
        sequence, _, generation = place.partition(SEPARATOR)
        # A mark of before places were kept says none; such a thread goes on as it was.
        if not place or is_held(thread.live, sequence=int(sequence), generation=int(generation)):
            found[name] = digest
    return found


def is_held(live: Generation | None, *, sequence: int, generation: int) -> bool:
    """Whether a completed turn of that place is in the live conversation: taken there, or copied."""
    if live is None:
        return False
    if generation == live.number:
        return True
    if live.opened_from <= sequence <= live.opened_to:
        return True
    # The first exchange is copied besides; in doubt (a sequence was left unused) it is not.
    is_first_copied = live.copied_messages // 2 > live.opened_to - live.opened_from + 1
    return sequence == 1 and bool(live.opened_to) and is_first_copied
