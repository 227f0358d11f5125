"""A replica may die at any of thirteen points: one question and one answer all the same, and at most one model call more."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import pytest

from dadm.domain.thread import GenerationReason, GenerationState
from tests.acceptance.crashes import CREATED, GATE, SECONDS, Crash, Stage, assert_killed, heard_task
from tests.acceptance.evidence import Door, Evidence, violations
from tests.databases import beside, command, migrated_postgres_url, sqlite_template

__all__ = ["migrated_postgres_url", "sqlite_template"]

pytestmark = pytest.mark.timeout(240)

TASKS = ("First", "Second", "Third")
LONG = tuple(f"Task{number:02}" for number in range(1, 14))
"""So many that at the gate, behind the eleventh, the thread has more messages than one chunk."""

AT_THE_GATE = 11


AT_ONCE = 5
"""How many crashes are played at the same time: most of their time they wait for leases."""

CRASHES: dict[str, Crash] = {}
"""What is played for each test, by the test's name."""

Test: TypeAlias = Callable[[Evidence], None]


def after(crash: Crash) -> Callable[[Test], Test]:
    """Play `crash` on each database before the test, which looks at what is left."""

    def decorate(test: Test) -> Test:
        CRASHES[test.__name__] = crash
        return test

    return decorate


def killed_at(failpoint: str) -> Crash:
    """Let three tasks run, be killed at the point, and run to the end."""

    def play(stage: Stage) -> Evidence:
        stage.begin(TASKS)
        stage.dies_at(failpoint)
        with stage.running() as program:
            stage.ends(program)
        return stage.evidence()

    return play


LetGo: TypeAlias = Literal["before the start", "once it is asked about", "at the end"]


def killed_while_held(let_go: LetGo, **fault: str | bool) -> Crash:
    """Have the simulator hold the second task's turn, be killed, and run to the end."""

    def play(stage: Stage) -> Evidence:
        stage.begin(("First", GATE, "Second", "Third"))
        with stage.running() as program:
            conversation = program.heard(CREATED)["conversation"]
            hold = stage.has_held(program, **fault)
            if fault["fault"] == "hold-run":
                stage.knows_the_run(seconds=SECONDS)
            program.kill()
        if let_go == "before the start":
            hold.let_go()
        with stage.running() as program:
            if let_go == "once it is asked about":
                hold.is_asked_about(seconds=SECONDS)
                hold.let_go()
            stage.ends(program)
        if let_go == "at the end":
            hold.let_arrive(conversation, seconds=SECONDS)
        return stage.evidence()

    return play


def killed_healing_at(failpoint: str) -> Crash:
    """Lose the conversation of a long thread, be killed while it heals, and run to the end."""

    def play(stage: Stage) -> Evidence:
        stage.begin((*LONG[:AT_THE_GATE], GATE, *LONG[AT_THE_GATE:]))
        with stage.running(failpoint=failpoint) as program:
            heard_task(program, LONG[AT_THE_GATE - 1])
            created = program.heard(CREATED)
            stage.simulator.delete_conversation(created["conversation"])
            stage.pass_gate()
            assert_killed(program)
        with stage.running() as program:
            stage.ends(program)
        return stage.evidence()

    return play


@pytest.fixture(scope="module")
def play(simulator: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Playing"]:
    """Play the crash of the test of that name on a database, beside others."""
    with ThreadPoolExecutor(AT_ONCE) as players:

        def play(name: str, database_url: str) -> "Future[Evidence]":
            folder = tmp_path_factory.mktemp(name)
            stage = Stage(folder=folder, database_url=database_url, simulator=simulator)
            return players.submit(CRASHES[name], stage)

        yield play


def chosen(request: pytest.FixtureRequest, database: str) -> list[str]:
    """Give the names of the tests of this module that run on the database."""
    return [
        item.originalname
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and item.name.endswith(f"[{database}]")
    ]


Playing: TypeAlias = Callable[[str, str], "Future[Evidence]"]
Played: TypeAlias = dict[str, "Future[Evidence]"]


@pytest.fixture(scope="module")
def on_sqlite(
    request: pytest.FixtureRequest,
    play: Playing,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Played:
    """Play every crash that a test of this run looks at, on files of their own."""
    folder = tmp_path_factory.mktemp("databases")
    return {
        name: play(name, f"sqlite:///{shutil.copyfile(sqlite_template, folder / f'{name}.db')}")
        for name in chosen(request, "sqlite")
    }


@pytest.fixture(scope="module")
def on_postgres(
    request: pytest.FixtureRequest,
    play: Playing,
    postgres_server_url: str,
    migrated_postgres_url: str,
) -> Iterator[Played]:
    """Play them likewise, on databases of their own."""
    template = urlsplit(migrated_postgres_url).path.strip("/")
    names = {
        name: f"{template}_{number}" for number, name in enumerate(chosen(request, "postgres"))
    }
    made = [f"CREATE DATABASE {each} TEMPLATE {template}" for each in names.values()]
    asyncio.run(command(postgres_server_url, *made))
    yield {name: play(name, beside(postgres_server_url, each)) for name, each in names.items()}
    dropped = [f"DROP DATABASE {each} WITH (FORCE)" for each in names.values()]
    asyncio.run(command(postgres_server_url, *dropped))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def seen(request: pytest.FixtureRequest) -> Evidence:
    """Wait until the crash of this test has been played, and give what is left."""
    for database in ("sqlite", "postgres"):
        # All are begun before one is waited for; a server that is missing is told below.
        if chosen(request, database):
            with suppress(pytest.skip.Exception):
                request.getfixturevalue(f"on_{database}")
    played: Played = request.getfixturevalue(f"on_{request.param}")
    return played[request.function.__name__].result()


FIRST, FENCED, LOST = GenerationReason.FIRST, GenerationReason.FENCED, GenerationReason.LOST


LIVE, RETIRED = GenerationState.LIVE, GenerationState.RETIRED


def asked_once(elements: Sequence[str] = TASKS) -> Counter[str]:
    """Count one model call for each task."""
    return Counter(elements)


def reasons(seen: Evidence) -> list[GenerationReason]:
    return [each.reason for each in seen.generations]


def attempts(seen: Evidence) -> list[int]:
    return [len(each) for each in seen.attempts]


def copied(seen: Evidence) -> list[int]:
    """Give how many messages were copied into each conversation of the thread."""
    return [each.copied_messages for each in seen.generations]


@after(killed_at("store.claim:before:2"))
def test_1_killed_before_the_claim_asks_once(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == []


@after(killed_at("store.submit:before:1"))
def test_2_killed_claimed_and_not_submitted_asks_once(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == []


@after(killed_at("backend.take_turn:before:2"))
def test_3_killed_submitted_and_not_sent_fences_and_asks_once(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 2, 1]
    assert reasons(seen) == [FIRST, FENCED]
    assert seen.recovered == []


@after(killed_while_held("at the end", fault="hold-request", outlives_caller=True))
def test_4_killed_with_the_request_on_its_way_fences_and_one_call_is_wasted(
    seen: Evidence,
) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once() + Counter(["Second"])
    assert attempts(seen) == [1, 2, 1]
    assert reasons(seen) == [FIRST, FENCED]
    assert seen.recovered == []
    # The late one landed where nobody reads.
    assert len(seen.kept(seen.generations[0]) or ()) == 4


@after(killed_while_held("once it is asked about", fault="hold-run"))
def test_4_killed_while_the_backend_answers_waits_for_the_answer(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_while_held("before the start", fault="hold-reply"))
def test_5_killed_with_the_answer_appended_and_nothing_received_finds_it(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_at("store.note_response:after:2"))
def test_6_killed_with_the_name_of_the_run_fetches_its_answer(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_at("store.settle:before:2"))
def test_7_killed_with_the_answer_and_not_settled_fetches_it(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_at("engine.complete:before:2"))
def test_8_killed_settled_and_the_engine_not_told_replays_the_answer(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == []
    assert [turn.is_reported for turn in seen.turns] == [True, True, True]


@after(killed_at("engine.complete:after:2"))
def test_9_killed_with_the_engine_told_and_not_marked_goes_on(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert [turn.is_reported for turn in seen.turns] == [True, False, True]


@after(killed_healing_at("store.note_conversation:before:2"))
def test_10_killed_with_a_conversation_opened_and_not_recorded_leaves_it_empty(
    seen: Evidence,
) -> None:
    assert violations(seen, LONG) == []
    assert seen.asked == asked_once(LONG)
    assert attempts(seen) == [1] * 11 + [3, 1]
    assert reasons(seen) == [FIRST, LOST]
    assert copied(seen) == [0, 22]
    (left_behind,) = set(seen.remote.of(seen.scope)) - {seen.live.conversation_id}
    assert seen.remote.conversations[left_behind] == ()


@after(killed_healing_at("store.note_copied:after:1"))
def test_11_killed_with_half_the_memory_copied_queues_it_for_erasure(seen: Evidence) -> None:
    assert violations(seen, LONG) == []
    assert seen.asked == asked_once(LONG)
    assert attempts(seen) == [1] * 11 + [3, 1]
    assert reasons(seen) == [FIRST, LOST, LOST]
    assert copied(seen) == [0, 20, 22]
    assert [each.state for each in seen.generations] == [RETIRED, RETIRED, LIVE]


@after(killed_healing_at("store.make_live:before:2"))
def test_12_killed_with_the_memory_whole_and_not_yet_live_queues_it_for_erasure(
    seen: Evidence,
) -> None:
    assert violations(seen, LONG) == []
    assert seen.asked == asked_once(LONG)
    assert attempts(seen) == [1] * 11 + [3, 1]
    assert reasons(seen) == [FIRST, LOST, LOST]
    assert copied(seen) == [0, 22, 22]
    assert [each.state for each in seen.generations] == [RETIRED, RETIRED, LIVE]
