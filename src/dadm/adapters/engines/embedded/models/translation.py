"""JUEL and FEEL, the expression languages of models, turned into CEL where they mean the same."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_EXPRESSION = 2000
"""Characters; expressions of models are far shorter, and a parser's stack has its limits."""

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|\.\.|\*\*|[-+*/%<>=!?:.,()\[\]{}])",
    re.DOTALL,
)
_JUEL_WORDS = {
    "and": "&&",
    "or": "||",
    "not": "!",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "gt": ">",
    "le": "<=",
    "ge": ">=",
    "div": "/",
    "mod": "%",
}
_FEEL_WORDS = {"and": "&&", "or": "||"}
_FEEL_UNKNOWN = frozenset(
    {"if", "then", "else", "for", "return", "some", "every", "satisfies", "between", "in"}
    | {"instance", "of", "function", "external", "partial"}
)
_FEEL_SIGNS_UNKNOWN = frozenset({"..", "**", "{", "}", "?", "&&", "||", "!", "==", "%", ":"})
# Words of CEL itself that a model may well call a variable; CEL's parser refuses them as names.
_CEL_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"}
    | {"package", "namespace", "return", "var", "void", "while"}
)
_CONSTANTS = frozenset({"true", "false", "null", "in"})
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_TYPED = frozenset({"double", "int"})
ALIAS = "dadm_name_"


class ExpressionInvalid(Exception):
    """The text is no expression this engine can evaluate as its author means it."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression: `kind` is text, number, name or sign."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """An expression in CEL, and the process variables it names: their name in CEL → their own."""

    cel: str
    variables: dict[str, str]


def from_juel(source: str) -> Translation:
    """Translate what stands inside `${…}`.

    Raises:
        ExpressionInvalid: It cannot be read, or would give something else than JUEL gives.
    """
    tokens = _tokens(source)
    _refuse_untyped_division(tokens)
    _refuse_nested_macros(tokens)
    return _assemble(_with_words(_with_empty(tokens), _JUEL_WORDS))


def from_feel(source: str) -> Translation:
    """Translate what stands behind `=` in a model of Camunda 8.

    Raises:
        ExpressionInvalid: It is outside the part of FEEL that means the same in CEL.
    """
    tokens = _tokens(source)
    for position, token in enumerate(tokens):
        _refuse_beyond_subset(tokens, position, token)
    _refuse_untyped_division(tokens)
    replaced = [Token("sign", "==") if token == Token("sign", "=") else token for token in tokens]
    renamed = [
        Token("sign", "!")
        if _is_call(replaced, at, "not")
        else Token("name", "size")
        if _is_call(replaced, at, "count")
        else token
        for at, token in enumerate(replaced)
    ]
    return _assemble(_with_words(renamed, _FEEL_WORDS))


def _tokens(source: str) -> list[Token]:
    if len(source) > LONGEST_EXPRESSION:
        text = f"is longer than {LONGEST_EXPRESSION} characters"
        raise ExpressionInvalid(text)
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None:
            text = f"has {source[position]!r}, which means nothing here"
            raise ExpressionInvalid(text)
        position = found.end()
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, found.group()))
    if not tokens:
        text = "is empty"
        raise ExpressionInvalid(text)
    return tokens


def _is_call(tokens: Sequence[Token], at: int, name: str) -> bool:
    """Whether the function `name` is called at that place."""
    return (
        tokens[at] == Token("name", name)
        and at + 1 < len(tokens)
        and tokens[at + 1].text == "("
        and not _is_field(tokens, at)
    )


def _is_field(tokens: Sequence[Token], at: int) -> bool:
    """Whether the name at that place is a field of what stands before it."""
    return at > 0 and tokens[at - 1] == Token("sign", ".")


def _with_words(tokens: Sequence[Token], words: dict[str, str]) -> list[Token]:
    return [
        Token("sign", words[token.text])
        if token.kind == "name" and token.text in words and not _is_field(tokens, at)
        else token
        for at, token in enumerate(tokens)
    ]


def _with_empty(tokens: list[Token]) -> list[Token]:
    """Write JUEL's prefix `empty x` as a call, which the evaluator provides."""
    result: list[Token] = []
    at = 0
    while at < len(tokens):
        is_prefix = tokens[at] == Token("name", "empty") and not _is_field(tokens, at)
        end = _end_of_operand(tokens, at + 1) if is_prefix else at
        if end <= at + 1:
            result.append(tokens[at])
            at += 1
            continue
        operand = tokens[at + 1 : end]
        result += [Token("name", "empty"), Token("sign", "("), *operand, Token("sign", ")")]
        at = end
    return result


def _end_of_operand(tokens: Sequence[Token], at: int) -> int:
    """Give where the variable and its fields and indices end, or `at` where none begins."""
    if at >= len(tokens) or tokens[at].kind != "name":
        return at
    at += 1
    while at + 1 < len(tokens):
        if tokens[at].text == "." and tokens[at + 1].kind == "name":
            at += 2
        elif tokens[at].text == "[":
            at = next((i for i in range(at, len(tokens)) if tokens[i].text == "]"), at) + 1
        else:
            break
    return at


def _refuse_untyped_division(tokens: Sequence[Token]) -> None:
    """Refuse a division that CEL might do in whole numbers where the model means fractions."""
    for at, token in enumerate(tokens):
        if token.text not in {"/", "div"} or token.kind == "text" or _is_field(tokens, at):
            continue
        if not (_ends_typed(tokens, at) or _starts_typed(tokens, at + 1)):
            text = (
                "divides, and whole numbers would be divided to a whole number here; "
                "write double(a) / double(b), or int(a) / int(b)"
            )
            raise ExpressionInvalid(text)


def _refuse_nested_macros(tokens: Sequence[Token]) -> None:
    """Refuse a list gone through for each item of a list: the time it takes has no bound."""
    is_macro: list[bool] = []
    for at, token in enumerate(tokens):
        if token == Token("sign", "("):
            begins = at > 0 and tokens[at - 1].text in _MACROS and _is_field(tokens, at - 1)
            if begins and any(is_macro):
                text = f"goes through lists inside each other with {tokens[at - 1].text}(…)"
                raise ExpressionInvalid(text)
            is_macro.append(begins)
        elif token == Token("sign", ")") and is_macro:
            is_macro.pop()


def _starts_typed(tokens: Sequence[Token], at: int) -> bool:
    if at >= len(tokens):
        return False
    is_decimal = tokens[at].kind == "number" and "." in tokens[at].text
    return is_decimal or any(_is_call(tokens, at, name) for name in _TYPED)


def _ends_typed(tokens: Sequence[Token], at: int) -> bool:
    before = tokens[at - 1] if at else Token("", "")
    if before.text != ")":
        return before.kind == "number" and "." in before.text
    depth = 0
    for i in range(at - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(tokens[i].text, 0) if tokens[i].kind == "sign" else 0
        if depth == 0:
            return i > 0 and tokens[i - 1].text in _TYPED
    return False


def _refuse_beyond_subset(tokens: Sequence[Token], at: int, token: Token) -> None:
    if token.kind == "text" and token.text.startswith("'"):
        text = "quotes text with ', which FEEL does not"
        raise ExpressionInvalid(text)
    is_unknown_word = token.kind == "name" and token.text in _FEEL_UNKNOWN
    is_unknown_sign = token.kind == "sign" and token.text in _FEEL_SIGNS_UNKNOWN
    is_index = (
        token.text == "["
        and at > 0
        and (tokens[at - 1].kind == "name" or tokens[at - 1].text in {")", "]"})
    )
    is_call = (
        token.kind == "name"
        and at + 1 < len(tokens)
        and tokens[at + 1].text == "("
        and token.text not in {"not", "count", "and", "or", "double", "int", "string"}
    )
    if is_unknown_word or is_unknown_sign or is_index or is_call:
        text = (
            f"uses {token.text!r}, which is outside the part of FEEL that runs here: variables, "
            "comparisons, + - *, and, or, not(…), count(…)"
        )
        raise ExpressionInvalid(text)


def _assemble(tokens: Sequence[Token]) -> Translation:
    """Write CEL, giving names that CEL cannot spell an alias, and note which variables it reads."""
    bound = set(_bound_names(tokens))
    variables: dict[str, str] = {}
    words: list[str] = []
    for at, token in enumerate(tokens):
        if token.kind != "name":
            words.append(token.text)
        elif _is_field(tokens, at):
            is_call = at + 1 < len(tokens) and tokens[at + 1].text == "("
            if (token.text.isascii() and token.text not in _CONSTANTS | _CEL_RESERVED) or is_call:
                words.append(token.text)
            else:
                words.pop()
                words.append(f'["{token.text}"]')
        elif token.text in _CONSTANTS or token.text in bound or _is_function(tokens, at):
            words.append(token.text)
        else:
            name = token.text
            if not name.isascii() or name in _CEL_RESERVED:
                name = f"{ALIAS}{''.join(f'{ord(letter):x}_' for letter in name)}"
            variables[name] = token.text
            words.append(name)
    return Translation(cel=" ".join(words), variables=variables)


def _is_function(tokens: Sequence[Token], at: int) -> bool:
    return at + 1 < len(tokens) and tokens[at + 1] == Token("sign", "(")


def _bound_names(tokens: Sequence[Token]) -> Iterator[str]:
    """Give the names that macros such as `list.exists(x, …)` bind."""
    for at in range(2, len(tokens) - 1):
        if (
            tokens[at].kind == "name"
            and tokens[at - 1].text == "("
            and tokens[at - 2].text in _MACROS
            and tokens[at + 1].text == ","
        ):
            yield tokens[at].text
