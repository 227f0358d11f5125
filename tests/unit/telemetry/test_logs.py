"""What happened is logged in the words people know, with context and without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from typing import get_args

import pytest

from dadm.domain.thread import GenerationReason, Usage
from dadm.domain.transcript import Message, Role
from dadm.ports.observer import (
    Event,
    ModelShown,
    OutcomeReported,
    TaskReceived,
    ThreadCreated,
    ThreadRebuilt,
    ThreadReused,
    TurnCompleted,
    TurnRefused,
)
from dadm.telemetry import Fanout, LogObserver, Scrubber, configure_logging
from tests.unit.telemetry.events import ONE_OF_EACH

SECRET = "a-token-nobody-may-see"


@pytest.fixture
def configured_again() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(capture=False)


class Log:
    """What a program configured in some way would write."""

    def __init__(self, level: str = "info", style: str = "text", *secrets: str) -> None:
        self.stream = io.StringIO()
        configure_logging(level=level, style=style, scrubber=Scrubber(secrets), stream=self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def logged(caplog: pytest.LogCaptureFixture, *events: Event) -> list[str]:
    """Give the words of the records at INFO and above."""
    caplog.set_level(logging.INFO, "dadm")
    for event in events:
        LogObserver().notify(event)
    return caplog.messages


def test_the_first_task_of_a_process_is_logged_word_for_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = logged(
        caplog,
        TaskReceived(process_instance_id="proc_123", task_id="t", engine="http", assistant="a"),
        ThreadCreated(process_instance_id="proc_123", thread_id="thread_abc123", assistant="a"),
    )

    assert words == [
        "Processing task for process_instance_id: proc_123",
        "Thread persistence enabled for process: proc_123",
        "Created new thread thread_abc123 for process proc_123",
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_a_later_task_of_a_process_is_logged_word_for_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = logged(
        caplog,
        TaskReceived(process_instance_id="proc_123", task_id="t", engine="http", assistant="a"),
        ThreadReused(process_instance_id="proc_123", thread_id="thread_abc123", assistant="a"),
    )

    assert words[-1] == "Reusing existing thread thread_abc123 for process proc_123"


def test_a_lost_thread_is_logged_with_what_it_was_given_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = logged(
        caplog,
        ThreadRebuilt(
            process_instance_id="proc_123",
            thread_id="thread_new",
            previous_thread_id="thread_old",
            assistant="a",
            reason=GenerationReason.LOST,
            copied_messages=6,
            left_out_exchanges=0,
        ),
    )

    (line,) = words
    assert line == (
        "Recreated lost thread thread_new for process proc_123 "
        "with 6 messages given back (was thread_old)"
    )


@pytest.mark.parametrize("reason", GenerationReason)
def test_a_thread_recreated_for_another_reason_is_not_called_lost(
    caplog: pytest.LogCaptureFixture, reason: GenerationReason
) -> None:
    (line,) = logged(
        caplog,
        ThreadRebuilt(
            process_instance_id="p",
            thread_id="new",
            previous_thread_id="old",
            assistant="a",
            reason=reason,
            copied_messages=6,
            left_out_exchanges=2,
        ),
    )

    assert ("lost" in line) is (reason is GenerationReason.LOST)
    assert "6 messages given back (was old), 2 older exchanges left out" in line


def test_a_task_without_a_process_claims_no_persistence(caplog: pytest.LogCaptureFixture) -> None:
    words = logged(
        caplog, TaskReceived(process_instance_id="", task_id="t", engine="http", assistant="a")
    )

    assert words == ["Processing task t without process_instance_id"]


def test_every_record_has_a_stable_key_and_its_context(caplog: pytest.LogCaptureFixture) -> None:
    logged(
        caplog,
        ThreadCreated(process_instance_id="proc_123", thread_id="thread_abc123", assistant="a"),
    )

    record = vars(caplog.records[0])
    assert record["action"] == "thread_created"
    assert record["process_instance_id"] == "proc_123"
    assert record["thread_id"] == "thread_abc123"
    assert record["assistant"] == "a"


def test_what_a_turn_cost_is_in_its_record(caplog: pytest.LogCaptureFixture) -> None:
    logged(
        caplog,
        TurnCompleted(
            process_instance_id="p",
            task_id="t",
            thread_id="th",
            assistant="a",
            sequence=2,
            is_recovered=False,
            usage=Usage(input_tokens=30, output_tokens=4),
            waited_seconds=0.0,
            backend_seconds=1.0,
            store_seconds=0.01,
        ),
    )

    record = vars(caplog.records[0])
    assert (record["input_tokens"], record["output_tokens"]) == (30, 4)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_can_be_logged(caplog: pytest.LogCaptureFixture, event: Event) -> None:
    caplog.set_level(logging.DEBUG, "dadm")

    LogObserver().notify(event)

    assert caplog.records
    assert all(hasattr(record, "action") for record in caplog.records)


def test_the_samples_are_one_of_each_event() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event))


def test_what_people_wrote_is_logged_at_debug_alone(caplog: pytest.LogCaptureFixture) -> None:
    shown = ModelShown(
        process_instance_id="p",
        task_id="t",
        thread_id="th",
        sequence=1,
        messages=(Message(role=Role.USER, text="the salary of the owner"),),
        left_out=0,
    )

    assert logged(caplog, shown) == []

    caplog.set_level(logging.DEBUG, "dadm")
    LogObserver().notify(shown)

    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert "the salary of the owner" in caplog.text


def test_a_failure_told_to_an_engine_says_why(caplog: pytest.LogCaptureFixture) -> None:
    words = logged(
        caplog,
        OutcomeReported(
            process_instance_id="p",
            task_id="t",
            engine="sales",
            element_id="e",
            outcome="failed",
            message="no key",
        ),
    )

    assert words == ["Told the engine that task t is failed: no key"]


@pytest.mark.usefixtures("configured_again")
def test_text_lines_hold_the_words_and_the_context() -> None:
    log = Log()

    LogObserver().notify(
        ThreadReused(process_instance_id="proc_123", thread_id="thread_abc123", assistant="a")
    )

    (line,) = log.lines
    assert "Reusing existing thread thread_abc123 for process proc_123" in line
    assert "action=thread_reused" in line
    assert "info" in line


@pytest.mark.usefixtures("configured_again")
def test_json_lines_hold_the_words_and_the_context() -> None:
    log = Log("info", "json")

    LogObserver().notify(
        ThreadReused(process_instance_id="proc_123", thread_id="thread_abc123", assistant="a")
    )

    (line,) = log.lines
    record = json.loads(line)
    assert record["event"] == "Reusing existing thread thread_abc123 for process proc_123"
    assert record["action"] == "thread_reused"
    assert record["process_instance_id"] == "proc_123"
    assert record["level"] == "info"
    assert record["timestamp"]


@pytest.mark.usefixtures("configured_again")
@pytest.mark.parametrize("style", ["text", "json"])
def test_no_secret_is_written_not_even_by_others_or_in_a_traceback(style: str) -> None:
    log = Log("info", style, SECRET, 'quoted"secret')

    logging.getLogger("somebody.else").error(
        "with %s and sk-abcdefghijklmnop",
        SECRET,
        extra={"header": "Bearer xyzxyzxyz"},
        exc_info=ValueError(SECRET),
    )
    logging.getLogger("dadm").warning('it was quoted"secret')
    logging.getLogger("dadm").warning("at postgresql://someone:pass-word@host/db")

    written = log.stream.getvalue()
    assert "ValueError" in written
    for hidden in (SECRET, "sk-abc", "xyzxyzxyz", "quoted", "pass-word"):
        assert hidden not in written


@pytest.mark.usefixtures("configured_again")
def test_text_from_outside_cannot_pass_for_a_line_of_its_own() -> None:
    log = Log()

    LogObserver().notify(
        TurnRefused(
            process_instance_id="p",
            task_id="t",
            thread_id="th",
            code="backend_refused",
            reason="no\n2026-01-01T00:00:00Z [info] Everything is fine\x1b[2K",
        )
    )

    assert len(log.lines) == 1
    assert "\x1b" not in log.stream.getvalue()


@pytest.mark.usefixtures("configured_again")
def test_the_level_is_kept_and_talkative_libraries_are_heard_when_they_warn() -> None:
    log = Log("warning")
    logging.getLogger("dadm").info("quiet")
    assert log.lines == []

    log = Log("info")
    logging.getLogger("httpx2").info("every request")
    logging.getLogger("uvicorn.error").info("Started server process [1]")
    assert log.lines == []

    logging.getLogger("uvicorn.error").error("trouble")
    assert len(log.lines) == 1


@pytest.mark.usefixtures("configured_again")
def test_configuring_again_writes_each_record_once() -> None:
    first = Log()
    second = Log()

    logging.getLogger("dadm").info("once")

    assert first.lines == []
    assert len(second.lines) == 1


def test_a_fanout_tells_everybody_in_order() -> None:
    heard: list[tuple[str, Event]] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self._name = name

        def notify(self, event: Event) -> None:
            heard.append((self._name, event))

    Fanout([Listener("first"), Listener("second")]).notify(ONE_OF_EACH[0])

    assert heard == [("first", ONE_OF_EACH[0]), ("second", ONE_OF_EACH[0])]


def test_a_scrubber_leaves_ordinary_words() -> None:
    text = "The task-sk-learn budget, sk-short, is at http://host:80/path for ab and a Bearer."

    assert Scrubber(["ab"])(text) == text
