"""Properties of the prompt and of the window of the transcript, over inputs nobody thought of."""

from hypothesis import given
from hypothesis import strategies as st

from dadm.domain.json import JsonValue, canonical_json, digest_of
from dadm.domain.prompt import render_prompt
from dadm.domain.task import Selecting, VariableSelection
from dadm.domain.thread import BackendIdentity
from dadm.domain.transcript import Exchange, Message, fit_window
from tests.builders import make_task

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
VARIABLES = st.dictionaries(NAMES, VALUES, max_size=5)


@given(variables=VARIABLES)
def test_thread_that_was_shown_everything_is_shown_no_more(
    variables: dict[str, JsonValue],
) -> None:
    task = make_task(documentation="Decide.", variables=variables)
    first = render_prompt(task, shown={})
    again = render_prompt(task, shown=first.shown)

    assert set(first.shown) == set(variables)
    assert again.text == "Decide."
    assert again.shown == {}


@given(variables=VARIABLES, changed=st.data())
def test_exactly_what_changed_is_shown_again(
    variables: dict[str, JsonValue], changed: st.DataObject
) -> None:
    first = render_prompt(make_task(documentation="Decide.", variables=variables), shown={})
    later = {
        name: changed.draw(VALUES, label=name) if changed.draw(st.booleans()) else value
        for name, value in variables.items()
    }
    again = render_prompt(make_task(documentation="Decide.", variables=later), shown=first.shown)

    assert set(again.shown) == {
        name
        for name, value in later.items()
        if canonical_json(value) != canonical_json(variables[name])
    }


@given(value=TEXTS, parts=st.lists(TEXTS.filter(lambda text: "$" not in text), max_size=4))
def test_each_placeholder_becomes_the_value_whatever_it_holds(value: str, parts: list[str]) -> None:
    task = make_task(
        documentation="${v}".join(["<", *parts, ">"]),
        variables={"v": value},
        selection=VariableSelection(selecting=Selecting.NONE),
    )

    assert render_prompt(task, shown={}).text == value.join(["<", *parts, ">"])


@given(value=VALUES)
def test_equal_values_have_equal_digests_whatever_the_order_of_their_names(
    value: JsonValue,
) -> None:
    def turned(inner: JsonValue) -> JsonValue:
        if isinstance(inner, dict):
            return {name: turned(inner[name]) for name in reversed(inner)}
        return [turned(each) for each in inner] if isinstance(inner, list) else inner

    assert digest_of(turned(value)) == digest_of(value)


@given(one=VALUES, other=VALUES)
def test_other_values_have_other_digests(one: JsonValue, other: JsonValue) -> None:
    assert (digest_of(one) == digest_of(other)) == (canonical_json(one) == canonical_json(other))


@given(words=st.lists(st.sampled_from(["all", "none", "changed", "a", "b c", " ", ""]) | TEXTS))
def test_selection_written_out_is_read_back(words: list[str]) -> None:
    read = VariableSelection.parse(",".join(words))

    assert VariableSelection.parse(str(read)) == read


@given(
    adapter=st.sampled_from(["openai", "chat", "local"]),
    address=st.text(st.characters(exclude_characters="|"), max_size=20),
    account=st.text(st.sampled_from("ab|/"), max_size=10),
)
def test_identity_written_out_is_read_back(adapter: str, address: str, account: str) -> None:
    identity = BackendIdentity(adapter=adapter, address=address, account=account)

    assert BackendIdentity.parse(str(identity)) == identity


EXCHANGES = st.lists(st.integers(0, 30), max_size=12).map(
    lambda sizes: [
        Exchange(sequence=place, prompt="?" * (size // 2), answer="!" * (size - size // 2))
        for place, size in enumerate(sizes, start=1)
    ]
)


def cost_of(message: Message) -> int:
    return len(message.text)


@given(exchanges=EXCHANGES, budget=st.integers(0, 120))
def test_window_fits_and_nothing_more_would(exchanges: list[Exchange], budget: int) -> None:
    window = fit_window(exchanges, budget=budget, measure=cost_of)
    cost = sum(cost_of(message) for message in window.messages)
    shown = [exchange.sequence for exchange in window.exchanges]

    assert cost <= budget
    assert window.left_out == len(exchanges) - len(shown)
    assert shown == sorted(set(shown))
    if window.left_out:
        left_out = [each for each in exchanges if each.sequence not in shown]
        # Those left out are in one row: behind the first, or from the start where it cannot fit.
        gap = [each.sequence for each in left_out]
        assert gap == list(range(gap[0], gap[-1] + 1))
        assert gap[0] in {1, 2}
        latest_left_out = left_out[-1]
        assert cost + sum(cost_of(each) for each in latest_left_out.messages) > budget


@given(exchanges=EXCHANGES, budget=st.integers(0, 120))
def test_window_holds_the_first_exchange_whenever_it_fits(
    exchanges: list[Exchange], budget: int
) -> None:
    window = fit_window(exchanges, budget=budget, measure=cost_of)
    if exchanges and sum(cost_of(each) for each in exchanges[0].messages) <= budget:
        assert window.exchanges[0] == exchanges[0]
    else:
        assert exchanges[:1] != list(window.exchanges[:1]) or not exchanges
