"""Verifying finds what is wrong with a thread, here and at its backend, and mends what can be mended."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.care.findings import FindingKind
from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.thread_verifying import PAGE, RemoteCheck, Verification
from dadm.domain.errors import BackendUnavailable, OutcomeUnknown, ThreadErased
from dadm.domain.thread import ConversationId, GenerationReason, GenerationState
from dadm.domain.transcript import Message, Role
from dadm.domain.turn import TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.backend import KeptMessage
from tests.unit.application.stage import LIMITS, Replica, Stage, settled

DECISION = ["The owner is Ada.", "The budget is 5.", "Who owns what?"]


async def with_turns(stage: Stage, *questions: str) -> Replica:
    """Take a turn for each question on one thread."""
    replica = await stage.replica()
    for number, question in enumerate(questions, start=1):
        await replica.ask(f"t{number}", documentation=question)
    return replica


async def verified(
    stage: Stage, *, is_remote: bool = True, is_repaired: bool = False
) -> Verification:
    """Verify the one thread there is, as a program of its own does."""
    care = ThreadCare((await stage.replica()).world)
    return await care.verifying.verify(
        await stage.thread(), is_remote=is_remote, is_repaired=is_repaired
    )


def kept_in(stage: Stage, conversation: int = -1) -> list[KeptMessage]:
    """Give a conversation's messages, to be changed behind everybody's back."""
    conversations = stage.backend._conversations
    return conversations._of(stage.backend.conversation_ids[conversation]).messages


def kinds(found: Verification) -> list[FindingKind]:
    return [each.kind for each in found.findings]


def texts(messages: Sequence[KeptMessage]) -> list[str]:
    return [each.message.text for each in messages]


async def test_a_thread_is_sound_here_and_at_its_backend(stage: Stage) -> None:
    await with_turns(stage, *DECISION)

    found = await verified(stage)

    keeps = stage.backend.keeps_conversations
    assert found.findings == ()
    assert found.turns == 3
    assert found.remote is (RemoteCheck.COMPARED if keeps else RemoteCheck.KEEPS_NOTHING)
    assert found.messages == (6 if keeps else 0)


async def test_a_rebuilt_thread_is_sound_also_where_turns_were_left_out(keeping: Stage) -> None:
    replica = await keeping.replica(limits=replace(LIMITS, copied_characters=60))
    for number in range(1, 9):
        await replica.ask(f"t{number}", documentation=f"Question number {number}?")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    rebuilt = await replica.ask("t9", documentation="And now?")

    found = await verified(keeping)

    # The first exchange, the latest two, and the turn taken on the new conversation.
    assert rebuilt.copied_messages == 6
    assert (found.findings, found.messages) == ((), 8)


async def test_a_thread_without_a_conversation_has_nothing_to_compare(keeping: Stage) -> None:
    replica = await with_turns(keeping, "Who?")
    thread = await keeping.thread()
    taken = await replica.world.store.lease_known_thread(thread.ref, owner="o", lease_seconds=9)
    await keeping.store.retire(taken.lease, 1)  # type: ignore[union-attr]
    await keeping.store.release(taken.lease)  # type: ignore[union-attr]

    assert (await verified(keeping)).remote is RemoteCheck.NO_CONVERSATION


async def test_a_turn_in_flight_is_no_finding_and_is_not_disturbed(keeping: Stage) -> None:
    replica = await with_turns(keeping, *DECISION)
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t4"))
    await hold.asked.wait()

    here = await verified(keeping, is_remote=False)
    there = await verified(keeping)
    hold.let_go()

    assert here.findings == ()
    assert here.open_turn is not None
    assert here.open_turn.sequence == 4
    # Somebody holds it: so it is told, and not waited for in vain.
    assert kinds(there) == [FindingKind.BUSY]
    assert there.remote is RemoteCheck.NOT_COMPARED
    assert (await asking).sequence == 4


async def test_a_turn_that_ends_while_it_is_read_is_no_finding(stage: Stage) -> None:
    asked = await with_turns(stage, *DECISION)
    reader = await stage.replica()
    arrived, let_go = reader.store.hold_next("turns")
    reading = stage.begin(ThreadCare(reader.world).verifying.verify(await stage.thread()))
    await arrived.wait()
    await asked.ask("t4")
    let_go.set()

    found = await reading

    assert (found.findings, found.turns) == ((), 4)


async def test_a_turn_that_ends_between_turns_and_thread_is_no_finding(stage: Stage) -> None:
    asked = await with_turns(stage, *DECISION)
    reader = await stage.replica()
    reader.store.hold_next("threads")[1].set()
    arrived, let_go = reader.store.hold_next("threads")
    reading = stage.begin(ThreadCare(reader.world).verifying.verify(await stage.thread()))
    await arrived.wait()
    await asked.ask("t4")
    let_go.set()

    found = await reading

    assert (found.findings, found.turns) == ((), 4)


async def test_a_turn_that_ends_between_two_pages_is_no_finding(keeping: Stage) -> None:
    asked = await with_turns(keeping, *["Go on."] * (PAGE - 1))
    hold = keeping.backend.hold_turn()
    last_of_page = keeping.begin(asked.ask("last"))
    await hold.asked.wait()
    reader = await keeping.replica()
    reader.store.hold_next("turns")[1].set()
    arrived, let_go = reader.store.hold_next("turns")
    reading = keeping.begin(ThreadCare(reader.world).verifying.verify(await keeping.thread()))
    await arrived.wait()
    hold.let_go()
    await last_of_page
    await asked.ask("next")
    let_go.set()

    found = await reading

    assert (found.findings, found.turns) == ((), PAGE + 1)


async def test_a_thread_of_which_nothing_was_copied_is_sound(keeping: Stage) -> None:
    replica = await keeping.replica(limits=replace(LIMITS, copied_characters=1))
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    await replica.ask("t2")

    found = await verified(keeping)

    assert (found.findings, found.messages) == ((), 2)


async def test_a_held_thread_is_waited_for_a_little_while(keeping: Stage) -> None:
    replica = await with_turns(keeping, "Who?")
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t2"))
    await hold.asked.wait()
    verifying = keeping.begin(verified(keeping))
    await asyncio.sleep(5)
    hold.let_go()

    assert (await verifying).findings == ()
    await asking


async def test_damage_here_is_told_and_never_mended(keeping: Stage) -> None:
    await with_turns(keeping, *DECISION)
    turn = (await keeping.turns())[1]
    keeping.store._records.turns[turn.ref].turn = replace(turn, answer="no")

    found = await verified(keeping, is_repaired=True)

    # The conversation still holds what was answered: a rebuild would take that away too.
    assert kinds(found) == [FindingKind.BROKEN_LINK, FindingKind.MESSAGE_CHANGED]
    assert found.rebuilt is None
    assert "damaged" in found.not_rebuilt
    assert found.unmended == found.findings
    assert await keeping.states() == [GenerationState.LIVE]


async def test_a_lost_conversation_is_found_and_rebuilt_with_its_memory(keeping: Stage) -> None:
    replica = await with_turns(keeping, *DECISION)
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    found = await verified(keeping)
    mended = await verified(keeping, is_repaired=True)

    assert kinds(found) == kinds(mended) == [FindingKind.CONVERSATION_LOST]
    assert (found.rebuilt, mended.unmended) == (None, ())
    assert [each.reason for each in await keeping.generations()] == [
        GenerationReason.FIRST,
        GenerationReason.LOST,
    ]
    assert (await verified(keeping)).findings == ()
    fourth = await replica.ask("t4", documentation="Say it again.")
    assert texts(kept_in(keeping))[::2] == [*DECISION, "Say it again."]
    assert fourth.generation == 2


async def test_drift_is_found_item_by_item_and_mended(keeping: Stage) -> None:
    await with_turns(keeping, *DECISION)
    kept = kept_in(keeping)
    changed = replace(kept[1], message=replace(kept[1].message, text="no"))
    stranger = Message(role=Role.USER, text="Me too.")
    await keeping.backend.append(keeping.backend.conversation_ids[0], [stranger])
    kept[1] = changed
    del kept[2]

    found = await verified(keeping)
    mended = await verified(keeping, is_repaired=True)

    assert [(each.kind, each.sequence, each.item_id) for each in found.findings] == [
        (FindingKind.MESSAGE_CHANGED, 1, changed.item_id),
        (FindingKind.MESSAGE_MISSING, 2, ""),
        (FindingKind.FOREIGN_MESSAGE, None, "msg_7"),
    ]
    assert mended.unmended == ()
    assert [each.reason for each in await keeping.generations()][1:] == [GenerationReason.REQUESTED]
    assert "Me too." not in texts(kept_in(keeping))
    assert (await verified(keeping)).findings == ()
    thread = await keeping.thread()
    rows = [each.action for each in await keeping.store.audit(thread.ref)]
    assert rows == [AuditAction.FOREIGN_ITEMS, AuditAction.REBUILT]


async def test_what_a_turn_of_unknown_end_left_behind_is_no_drift(keeping: Stage) -> None:
    replica = await with_turns(keeping, "Who?")
    keeping.backend.fail_turn(OutcomeUnknown("Cut off."), is_applied=True)
    keeping.backend.fail("retrieve", BackendUnavailable("Not now."))
    await settled(replica.ask("t2"))
    assert (await keeping.turns())[1].state is TurnState.UNKNOWN

    found = await verified(keeping)

    assert found.findings == ()
    assert found.open_turn is not None
    assert (found.messages, len(kept_in(keeping))) == (2, 4)


async def test_repair_ends_an_open_turn_first_so_that_its_answer_is_not_lost(
    keeping: Stage,
) -> None:
    replica = await with_turns(keeping, "Who?")
    keeping.backend.fail_turn(OutcomeUnknown("Cut off."), is_applied=True)
    keeping.backend.fail("retrieve", BackendUnavailable("Not now."))
    await settled(replica.ask("t2"))
    del kept_in(keeping)[0]

    mended = await verified(keeping, is_repaired=True)

    assert kinds(mended) == [FindingKind.MESSAGE_MISSING]
    assert mended.unmended == ()
    assert [turn.state for turn in await keeping.turns()] == [TurnState.COMPLETED] * 2
    assert (await verified(keeping)).messages == 4
    assert len(keeping.asked) == 2


async def test_a_backend_that_does_not_answer_is_told_and_nothing_is_repaired(
    keeping: Stage,
) -> None:
    await with_turns(keeping, "Who?")
    keeping.backend.fail("messages", BackendUnavailable("Not reachable."))

    found = await verified(keeping, is_repaired=True)

    assert [(each.kind, each.said) for each in found.findings] == [
        (FindingKind.UNREACHABLE, "Not reachable.")
    ]
    assert await keeping.states() == [GenerationState.LIVE]
    # And the thread was given back.
    assert (await verified(keeping)).findings == ()


async def test_a_backend_that_is_configured_no_longer_is_told(keeping: Stage) -> None:
    await with_turns(keeping, "Who?")
    keeping.backends.known.clear()

    (finding,) = (await verified(keeping)).findings

    assert finding.kind is FindingKind.UNREACHABLE
    assert "is configured here" in finding.said


async def test_a_loss_that_is_not_confirmed_is_none(keeping: Stage) -> None:
    class Hiding(ScriptedBackend):
        """Has a conversation and does not list it."""

        async def exists(self, conversation_id: ConversationId) -> bool:
            return bool(conversation_id)

    keeping.use(Hiding(keeps_conversations=True))
    await with_turns(keeping, "Who?")
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    found = await verified(keeping, is_repaired=True)

    assert kinds(found) == [FindingKind.UNREACHABLE]
    assert await keeping.states() == [GenerationState.LIVE]


async def test_a_repair_that_fails_says_so_and_leaves_the_thread_as_it_was(keeping: Stage) -> None:
    await with_turns(keeping, "Who?")
    del kept_in(keeping)[0]
    keeping.backend.fail("open", BackendUnavailable("No more."))

    found = await verified(keeping, is_repaired=True)

    assert found.not_rebuilt == "No more."
    assert kinds(found) == [each.kind for each in found.unmended] == [FindingKind.MESSAGE_MISSING]
    assert await keeping.states() == [GenerationState.LIVE]


async def test_a_closed_thread_is_compared_but_not_rebuilt(keeping: Stage) -> None:
    await with_turns(keeping, "Who?")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    await keeping.store.close_scope(engine="embedded", tenant="", scope="p1")

    found = await verified(keeping, is_repaired=True)

    assert kinds(found) == [FindingKind.CONVERSATION_LOST]
    assert "closed" in found.not_rebuilt


async def test_an_erased_thread_cannot_be_verified(keeping: Stage) -> None:
    await with_turns(keeping, "Who?")
    thread = await keeping.thread()
    await ThreadCare((await keeping.replica()).world).erasing.erase(thread.ref)

    with pytest.raises(ThreadErased):
        await ThreadCare((await keeping.replica()).world).verifying.verify(thread)
