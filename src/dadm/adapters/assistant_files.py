"""Assistants as Markdown files: front matter for the settings, the body for the instructions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml
from frontmatter.default_handlers import YAMLHandler

from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.domain.errors import InvalidAssistant, InvalidTask
from dadm.domain.json import JsonObject
from dadm.domain.task import refuse_unusable_id

SHIPPED = Path(__file__).parent.parent / "examples" / "assistants"
"""The folder of the assistants that ship with DADM."""

DEFAULT_ALIAS = "dadm-openai-assistant"
"""What the default assistant is also called."""

FIELDS = frozenset(
    {"name", "aliases", "description", "model", "parameters", "tools", "answer_schema"}
)
NOT_ASSISTANTS = frozenset({"readme.md"})

_FRONT_MATTER = YAMLHandler()
_Lines: TypeAlias = dict[tuple[str, ...], int]


def read_catalogue(
    folder: Path, *, default: str = "", parameters: frozenset[str] | None = None
) -> AssistantCatalogue:
    """Read the assistants of `folder` and choose the default.

    Args:
        folder: Holds one Markdown file per assistant.
        default: The default's name or alias; `""` for whoever is called `DEFAULT_ALIAS`, else
            the only assistant there is. The default answers to `DEFAULT_ALIAS` as well, unless
            another assistant claims it.
        parameters: The names that `parameters` may have, None for any.

    Raises:
        InvalidAssistant: A file is broken, two claim one name, or the default cannot be told.
    """
    assistants = read_assistants(folder, parameters=parameters)
    claimed = any(DEFAULT_ALIAS in _names(assistant) for assistant in assistants)
    if not default and not claimed and len(assistants) > 1:
        names = ", ".join(sorted(assistant.name for assistant in assistants))
        msg = (
            f"None of the assistants in {folder} is called {DEFAULT_ALIAS}, so the default cannot "
            f"be told: set DADM_DEFAULT_ASSISTANT to one of {names}."
        )
        raise InvalidAssistant(msg)
    chosen = default or (DEFAULT_ALIAS if claimed else assistants[0].name)
    if not claimed:
        assistants = tuple(
            replace(assistant, aliases=(*assistant.aliases, DEFAULT_ALIAS))
            if chosen in _names(assistant)
            else assistant
            for assistant in assistants
        )
    return AssistantCatalogue(assistants, default=chosen)


def read_assistants(
    folder: Path, *, parameters: frozenset[str] | None = None
) -> tuple[Assistant, ...]:
    """Read every Markdown file of `folder` (a README.md apart), by file name.

    Raises:
        InvalidAssistant: There is no such folder or no assistant in it, or a file is broken;
            the message names the file and the line.
    """
    return tuple(read_assistant(path, parameters=parameters) for path in assistant_paths(folder))


def assistant_paths(folder: Path) -> tuple[Path, ...]:
    """Find the files of assistants in `folder`, by file name.

    Raises:
        InvalidAssistant: There is no such folder, or no assistant in it.
    """
    if not folder.is_dir():
        msg = f"There is no folder {folder} to read assistants from; set DADM_ASSISTANTS."
        raise InvalidAssistant(msg)
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".md" and path.name.lower() not in NOT_ASSISTANTS
    )
    if not files:
        msg = f"The folder {folder} holds no assistant: put a Markdown file for each there."
        raise InvalidAssistant(msg)
    return tuple(files)


def read_assistant(path: Path, *, parameters: frozenset[str] | None = None) -> Assistant:
    """Read one file.

    Raises:
        InvalidAssistant: The file is broken; the message names the line.
    """
    file = _AssistantFile.read(path)
    for field in file.fields:
        if field not in FIELDS:
            file.refuse(
                f"there is no field {field!r}; known are {', '.join(sorted(FIELDS))}", field
            )
    if not file.instructions:
        file.refuse("the body is empty; below the second --- the assistant is told what to do")
    known = file.mapping("parameters")
    for name in known:
        if parameters is not None and name not in parameters:
            allowed = ", ".join(sorted(parameters))
            file.refuse(f"there is no parameter {name!r}; known are {allowed}", "parameters", name)
    return Assistant(
        name=file.name(),
        instructions=file.instructions,
        aliases=file.aliases(),
        model=file.text("model"),
        parameters=known,
        tools=file.tools(),
        answer_schema=file.mapping("answer_schema") or None,
        description=file.text("description"),
        origin=str(path),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _AssistantFile:
    """A file split into fields and instructions; `lines` has the body's line under `()`."""

    path: Path
    fields: dict[str, Any]
    instructions: str
    lines: _Lines

    @classmethod
    def read(cls, path: Path) -> "_AssistantFile":
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].count(b"\n")
            msg = f"{path}, line {before + 1}: this is not text in UTF-8."
            raise InvalidAssistant(msg) from error
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}."
            raise InvalidAssistant(msg) from error
        if not _FRONT_MATTER.detect(text):
            msg = f"{path}, line 1: the file must begin with front matter between two lines ---."
            raise InvalidAssistant(msg)
        try:
            front, body = _FRONT_MATTER.split(text)
        except ValueError as error:
            msg = f"{path}, line 1: the front matter has no end; close it with a line ---."
            raise InvalidAssistant(msg) from error
        before_front = text[: text.index(front, 3)].count("\n") if front else 1
        fields, lines = _parse(path, front, before_front + 1)
        lines[()] = text[: len(text) - len(body)].rstrip().count("\n") + 1
        return cls(path=path, fields=fields, instructions=body.strip(), lines=lines)

    def refuse(self, what: str, *place: str) -> NoReturn:
        """Refuse the file because of the key at `place`, or the body where none is named."""
        while place not in self.lines:
            place = place[:-1]
        msg = f"{self.path}, line {self.lines[place]}: {what}."
        raise InvalidAssistant(msg)

    def text(self, field: str) -> str:
        value = self.fields.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(f"{field} must be text, not {_kind(value)}", field)
        return value.strip()

    def name(self) -> str:
        return self._usable("name", self.text("name") or self.path.stem)

    def aliases(self) -> tuple[str, ...]:
        given = self.fields.get("aliases") or []
        listed = [given] if isinstance(given, str) else given
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            self.refuse("aliases must be a list of names", "aliases")
        return tuple(self._usable("aliases", each.strip()) for each in listed)

    def mapping(self, field: str) -> JsonObject:
        value = self.fields.get(field)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(f"{field} must be a mapping, not {_kind(value)}", field)
        self._refuse_other_than_json(value, field)
        return value

    def tools(self) -> tuple[JsonObject, ...]:
        value = self.fields.get("tools") or []
        if not isinstance(value, list) or not all(
            isinstance(tool, dict) and isinstance(tool.get("type"), str) for tool in value
        ):
            self.refuse("tools must be a list of mappings, each with a type", "tools")
        self._refuse_other_than_json(value, "tools")
        return tuple(value)

    def _usable(self, field: str, name: str) -> str:
        if not name:
            self.refuse(f"{field} holds an empty name", field)
        try:
            refuse_unusable_id(field, name)
        except InvalidTask as error:
            self.refuse(error.message.rstrip("."), field)
        return name

    def _refuse_other_than_json(self, value: object, *place: str) -> None:
        match value:
            case dict():
                for key, inner in value.items():
                    if not isinstance(key, str):
                        self.refuse(f"the key {key!r} must be text; put it in quotes", *place)
                    self._refuse_other_than_json(inner, *place, key)
            case list():
                for inner in value:
                    self._refuse_other_than_json(inner, *place)
            case None | bool() | int() | str():
                pass
            case float() if math.isfinite(value):
                pass
            case _:
                what = f"{value} is {_kind(value)}, which JSON has not; put it in quotes"
                self.refuse(what, *place)


def _parse(path: Path, front: str, first_line: int) -> tuple[dict[str, Any], "_Lines"]:
    """Read the fields, and on which line of the file each key is."""
    try:
        for event in yaml.parse(front, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                # An alias may point at what it is part of, or multiply what it stands for.
                line = first_line + (event.start_mark.line if event.start_mark else 0)
                msg = f"{path}, line {line}: aliases (*) have no place here; write the value out."
                raise InvalidAssistant(msg)
        root = yaml.compose(front, Loader=yaml.SafeLoader)
        if root is None:
            return {}, {}
        if not isinstance(root, yaml.MappingNode):
            line = first_line + root.start_mark.line
            msg = f"{path}, line {line}: the front matter must be a mapping of fields."
            raise InvalidAssistant(msg)
        lines: _Lines = {}
        for place, line in _places(root, (), first_line):
            if place in lines:
                msg = f"{path}, line {line}: {'.'.join(place)} is given twice."
                raise InvalidAssistant(msg)
            lines[place] = line
        return _values(path, root, first_line), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        msg = f"{path}, line {line}: {error.problem or error.context}."
        raise InvalidAssistant(msg) from error
    except yaml.reader.ReaderError as error:
        line = first_line + front.count("\n", 0, error.position)
        msg = f"{path}, line {line}: there is a character that YAML does not allow."
        raise InvalidAssistant(msg) from error
    except RecursionError as error:
        msg = f"{path}, line {first_line}: the front matter is nested too deeply."
        raise InvalidAssistant(msg) from error


def _values(path: Path, root: yaml.MappingNode, first_line: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    constructor = yaml.SafeLoader("")
    for key, node in root.value:
        try:
            fields[str(key.value)] = constructor.construct_document(node)
        except ValueError as error:
            # What looks like a date and is in no calendar.
            msg = f"{path}, line {first_line + node.start_mark.line}: {error}; put it in quotes."
            raise InvalidAssistant(msg) from error
    return fields


def _places(
    node: yaml.Node, above: tuple[str, ...], first_line: int
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Give the path of every key with its line in the file."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*above, str(key.value))
            yield place, first_line + key.start_mark.line
            yield from _places(value, place, first_line)


def _names(assistant: Assistant) -> tuple[str, ...]:
    return (assistant.name, *assistant.aliases)


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "a mapping" if isinstance(value, dict) else "a date or such")
