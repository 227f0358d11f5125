"""What is checked after a crash or a soak would find the bug if there were one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dadm.domain.thread import GenerationState
from dadm.domain.transcript import Message, Role
from dadm.domain.turn import Turn, TurnRef, TurnState
from dadm.ports.engine import EngineIncident, InstanceState, ProcessInstance
from tests.acceptance.evidence import Evidence, Remote, violations
from tests.builders import NOON, make_generation, make_thread, make_turn

TASKS = ("First", "Second")


def turn(number: int, element: str) -> Turn:
    return make_turn(
        f"t{number}",
        ref=TurnRef(number),
        state=TurnState.COMPLETED,
        sequence=number,
        element_id=element,
        prompt=f"{element}?",
        answer=f"{element}!",
    )


def said(role: Role, text: str) -> Message:
    return Message(role=role, text=text)


MESSAGES = tuple(
    said(role, f"{element}{mark}")
    for element in TASKS
    for role, mark in ((Role.USER, "?"), (Role.ASSISTANT, "!"))
)

WHOLE = Evidence(
    instance=ProcessInstance(
        instance_id="p1",
        definition_id="p:1",
        definition_key="p",
        business_key="",
        tenant="",
        state=InstanceState.COMPLETED,
        variables={f"{element}_result": f"{element}!" for element in TASKS},
        waiting_at=(),
        incident_count=0,
        started_at=NOON,
        ended_at=NOON,
    ),
    incidents=(),
    thread=make_thread(turn_count=2),
    turns=tuple(turn(number, element) for number, element in enumerate(TASKS, 1)),
    attempts=((), ()),
    generations=(make_generation(1),),
    asked=Counter(TASKS),
    remote=Remote(
        asked={"p1": ["t1", "t2"]},
        reached={each.text: {"conv_1"} for each in MESSAGES},
        answered={"conv_1": Counter({"First?": 1, "Second?": 1})},
        removed=frozenset(),
        struck={},
        conversations={"conv_1": MESSAGES},
        scopes={"conv_1": "p1"},
    ),
)

INCIDENT = EngineIncident(
    incident_id="i1",
    instance_id="p1",
    element_id="First",
    task_id="t1",
    message="no retries are left",
    details="",
    created_at=NOON,
)


def with_remote(**changes: Any) -> Evidence:
    return replace(WHOLE, remote=replace(WHOLE.remote, **changes))


def with_conversation(*messages: Message) -> Evidence:
    return with_remote(conversations={"conv_1": messages})


def of_instance(**changes: Any) -> Evidence:
    return replace(WHOLE, instance=replace(WHOLE.instance, **changes))


def test_nothing_is_wrong_with_what_is_whole() -> None:
    assert violations(WHOLE, TASKS) == []


BROKEN: dict[str, Callable[[], Evidence]] = {
    "a turn is missing": lambda: replace(WHOLE, turns=WHOLE.turns[:1]),
    "a task has two turns": lambda: replace(WHOLE, turns=(*WHOLE.turns, turn(3, "Second"))),
    "turns are out of order": lambda: replace(WHOLE, turns=WHOLE.turns[::-1]),
    "a turn has no answer": lambda: replace(
        WHOLE, turns=(WHOLE.turns[0], replace(WHOLE.turns[1], state=TurnState.UNKNOWN, answer=None))
    ),
    "the model was never asked": lambda: replace(WHOLE, asked=Counter(["First"])),
    "a message is doubled": lambda: with_conversation(*MESSAGES, *MESSAGES[:2]),
    "a message is missing": lambda: with_conversation(*MESSAGES[:-1]),
    "messages are out of order": lambda: with_conversation(*MESSAGES[2:], *MESSAGES[:2]),
    "the conversation is gone": lambda: with_remote(conversations={}),
    "a message reached another's conversation": lambda: with_remote(
        reached=WHOLE.remote.reached | {"First?": {"conv_1", "conv_of_another"}}
    ),
    "a second answer was appended": lambda: with_remote(
        answered={"conv_1": Counter({"First?": 2, "Second?": 1})}
    ),
    "two conversations are live": lambda: replace(
        WHOLE, generations=(make_generation(1), make_generation(2))
    ),
    "the instance hangs": lambda: of_instance(state=InstanceState.ACTIVE),
    "an incident is left": lambda: replace(WHOLE, incidents=(INCIDENT,)),
    "the engine has another answer": lambda: of_instance(
        variables={**WHOLE.instance.variables, "First_result": "another"}
    ),
    "the engine has no answer": lambda: of_instance(variables={"First_result": "First!"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_found(broken: Callable[[], Evidence]) -> None:
    assert violations(broken(), TASKS) != []


def test_a_conversation_lost_behind_the_last_turn_is_no_violation() -> None:
    lost = with_remote(conversations={}, removed=frozenset({"conv_1"}))

    assert violations(lost, TASKS) == []


def test_a_late_answer_in_a_retired_conversation_is_no_violation() -> None:
    generations = (make_generation(1, state=GenerationState.RETIRED), make_generation(2))
    late = replace(
        with_remote(
            conversations={"conv_1": (*MESSAGES, *MESSAGES[2:]), "conv_2": MESSAGES},
            answered={"conv_1": Counter({"Second?": 2})},
            reached={each.text: {"conv_1", "conv_2"} for each in MESSAGES},
        ),
        generations=generations,
    )

    assert violations(late, TASKS) == []
