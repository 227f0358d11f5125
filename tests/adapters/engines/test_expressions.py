"""Expressions are CEL, mean what their own language means by them, and are never Python."""

import random

import pytest

from dadm.adapters.engines.embedded.models.expressions import (
    ExpressionFailed,
    by_its_look,
    feel,
    juel,
    variable,
)
from dadm.adapters.engines.embedded.models.translation import (
    LONGEST_EXPRESSION,
    ExpressionInvalid,
)
from dadm.domain.json import JsonValue

VARIABLES: dict[str, JsonValue] = {
    "amount": 40,
    "rate": 0.5,
    "ok": True,
    "name": "Ada",
    "nothing": None,
    "items": ["a", "b"],
    "none": [],
    "order": {"lines": [{"price": 3}, {"price": 4}], "ref": "x-1", "höhe": 2, "in": 1},
    "höhe": 7,
    "package": 5,
    "size": 6,
    "big": 10**30,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${amount}", 40),
        ("#{amount}", 40),
        ("${ order.lines[1].price }", 4),
        ("${amount} for ${name}", "40 for Ada"),
        ("${ok}, ${nothing}.", "true, ."),
        ("${amount > 30 && ok}", True),
        ("${amount gt 30 and not ok or name eq 'Ada'}", True),
        ("${amount ge 40 and amount le 40 and amount ne 41 and amount lt 41}", True),
        ("${amount mod 7}", 5),
        ("${name == 'and'}", False),
        ("${name == 'and' || name == \"Ada\"}", True),
        ("${empty none and not empty items and empty nothing}", True),
        ("${empty order.lines}", False),
        ("${empty(none)}", True),
        ("${ok ? 'yes' : 'no'}", "yes"),
        ("${'}'}", "}"),
        ("${{'a': amount}}", {"a": 40}),
        ("${items.size() == 2}", True),
        ("${items.exists(i, i == 'b')}", True),
        ("${order.lines.map(l, l.price * 2)}", [6, 8]),
        ("${double(amount) / 3.0 > 13.0}", True),
        ("${int(amount) / int(7)}", 5),
        ("${amount == 40.0}", True),
        ("${höhe > 5 and order.höhe == 2}", True),
        ("${package + size}", 11),
        ("${order.in == 1}", True),
        ("${nothing == null}", True),
        ("${big}", 10**30),
        ("${items}", ["a", "b"]),
        ("${name.startsWith('A') && name.endsWith('a') && name.contains('d')}", True),
        ("${name.matches('[A-Z]d.')}", True),
        ("${string(amount) + name}", "40Ada"),
        ("${items.all(i, size(i) == 1) && items.exists_one(i, i == 'a')}", True),
        ("${items.filter(i, i > 'a')}", ["b"]),
        ("${-amount + 1}", -39),
        ("${'a' in items}", True),
        ("a $ {b} and { c }", "a $ {b} and { c }"),
    ],
)
def test_text_of_camunda_7_has_this_value(text: str, value: JsonValue) -> None:
    assert juel(text).evaluate(VARIABLES) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain = text", "plain = text"),
        ("=amount", 40),
        ("= order.ref", "x-1"),
        ('=name = "Ada" and amount >= 40', True),
        ("=not(ok) or amount != 40", False),
        ("=count(items) = 2", True),
        ("=amount * 2 + 1", 81),
        ('="PT" + "5M"', "PT5M"),
        ('=["a", "b"]', ["a", "b"]),
        ("=null", None),
        ("=-1", -1),
        ("=rate * 2.0", 1.0),
    ],
)
def test_text_of_camunda_8_has_this_value(text: str, value: JsonValue) -> None:
    assert feel(text).evaluate(VARIABLES) == value


@pytest.mark.parametrize(
    "text",
    [
        '=if ok then "a" else "b"',
        "=for i in items return i",
        "=some i in items satisfies i = 1",
        "=amount in [1..50]",
        "=amount between 1 and 50",
        "=items[1]",
        "=order.lines[1].price",
        "=amount / 2",
        "=amount ** 2",
        "=function(x) x",
        '=contains(name, "A")',
        "=name = 'Ada'",
        "={a: 1}",
        "=ok && ok",
        "=sum(items)",
        "=string length(name)",
        "=today()",
        "=",
        "= ",
    ],
)
def test_feel_outside_the_part_that_runs_is_refused_at_deployment(text: str) -> None:
    with pytest.raises(ExpressionInvalid):
        feel(text)


@pytest.mark.parametrize(
    "text",
    [
        "${}",
        "${ }",
        "${amount +}",
        "${amount / 2}",
        "${amount div 2}",
        "${(amount) / (rate)}",
        "${execution.getVariable('x')}",
        "${bean.call(amount)}",
        "${max(amount, 3)}",
        "${items.all(a, items.all(b, a == b))}",
        "${items.map(a, (items.filter(b, a == b)))}",
        "${timestamp('2030-01-01T00:00:00Z')}",
        "${__import__('os').system('true')}",
        "${().__class__.__bases__[0].__subclasses__()}",
        "${open('/etc/passwd').read()}",
        "${[x for x in items]}",
        "${lambda: 1}",
        "${amount; 1}",
        "${`x`}",
        "${'unfinished}",
        "${" + "(" * 500 + "1" + ")" * 500 + "}",
        "${" + "+".join(["1"] * LONGEST_EXPRESSION) + "}",
    ],
)
def test_what_is_no_expression_here_is_refused_at_deployment(text: str) -> None:
    with pytest.raises(ExpressionInvalid):
        juel(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${missing}", "no variable 'missing'"),
        ("${missing == null}", "no variable 'missing'"),
        ("${missing || true}", "no variable 'missing'"),
        ("${true || missing}", "no variable 'missing'"),
        ("${order.nowhere}", "'order' has no 'nowhere'"),
        ("${items[7]}", "'items' has no 7"),
        ("${order.nowhere > 1}", "nowhere"),
        ("${amount * rate}", "No such overload"),
        ("${name + 1}", "Convert explicitly"),
        ("${amount % 0}", "zero"),
        ("${big + 1}", "too large"),
        ("${order.lines[9].price > 1}", "index"),
    ],
)
def test_what_has_no_value_fails_and_says_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionFailed, match=reason) as failed:
        juel(text).evaluate(VARIABLES)

    assert text in str(failed.value)


def test_a_number_beyond_64_bits_is_not_taken_for_a_fraction_even_inside() -> None:
    with pytest.raises(ExpressionFailed, match="too large"):
        juel("${a.b[0] == 1}").evaluate({"a": {"b": [2**63]}})


def test_only_true_and_false_are_conditions() -> None:
    assert by_its_look(" ${ok} ").is_true(VARIABLES)
    assert not by_its_look(" =not(ok) ").is_true(VARIABLES)
    for text in ("${amount}", "${name}", "${nothing}"):
        with pytest.raises(ExpressionFailed, match="neither true nor false"):
            juel(text).is_true(VARIABLES)


def test_text_and_whole_numbers_are_told_apart() -> None:
    assert juel("${name}").text(VARIABLES) == "Ada"
    assert juel("12").integer(VARIABLES) == 12
    assert juel("${amount}").integer(VARIABLES) == 40
    for text in ("${ok}", "${rate}", "x", "${items}"):
        with pytest.raises(ExpressionFailed, match="no whole number"):
            juel(text).integer(VARIABLES)
    with pytest.raises(ExpressionFailed, match="no text"):
        juel("${amount}").text(VARIABLES)


def test_a_reference_says_which_variable_it_is() -> None:
    assert variable("any name-at all").variable == "any name-at all"
    assert juel("${order.ref}").variable == "order"
    assert juel("${order.ref} ").variable == ""
    assert juel("${amount + 1}").variable == ""
    assert juel("amount").variable == ""


def test_no_text_whatever_breaks_the_reader() -> None:
    chance = random.Random(1)  # noqa: S311 - the same texts every time
    pieces = ["a", ".b", "'x'", '"y"', "1", "2.5", "(", ")", "[", "]", "{", "}", "&&", " and "]
    pieces += ["||", "!", "==", "=", "<", "+", "-", "*", "/", "%", "?", ":", ",", " in ", "$", "#"]
    pieces += ["size(", ".map(x,", "empty ", "'", '"', "\\", "ä", "\n", "${", "}", "null", "true"]
    for _ in range(3000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 12)))
        for read in (
            juel,
            feel,
            lambda inner: juel(f"${{{inner}}}"),
            lambda inner: feel(f"={inner}"),
        ):
            try:
                read(text).evaluate({"a": {"b": [1]}, "x": 1})
            except (ExpressionInvalid, ExpressionFailed):
                continue
