"""Threads: what users know them by, which take turns, and what they cost."""

import pytest

from dadm.domain.thread import BackendIdentity, ThreadState, Usage
from tests.builders import make_generation, make_thread


def test_thread_is_known_by_its_live_conversation() -> None:
    assert make_thread().thread_id is None
    assert make_thread(live=make_generation(2)).thread_id == "conv_2"


def test_only_open_and_parked_threads_take_turns() -> None:
    assert {state for state in ThreadState if state.takes_turns} == {
        ThreadState.OPEN,
        ThreadState.PARKED,
    }


def test_usage_adds_up_token_by_token() -> None:
    total = Usage(input_tokens=1, output_tokens=2, cached_tokens=3) + Usage(
        input_tokens=10, output_tokens=20, cached_tokens=30
    )

    assert total.as_json() == {"input_tokens": 11, "output_tokens": 22, "cached_tokens": 33}


@pytest.mark.parametrize(
    "text", ["openai|https://api.openai.com/v1|org/project", "local||", "chat|http://h/v1|a|b"]
)
def test_identity_is_one_text_and_back(text: str) -> None:
    assert str(BackendIdentity.parse(text)) == text


def test_identity_with_another_account_is_another() -> None:
    one = BackendIdentity.parse("openai|https://h|a")

    assert one == BackendIdentity(adapter="openai", address="https://h", account="a")
    assert one != BackendIdentity.parse("openai|https://h|b")
