"""An assistant: a named role and what it is told, and the catalogue that finds one by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dadm.domain.errors import InvalidAssistant, UnknownAssistant
from dadm.domain.json import JsonObject, JsonValue, digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """A named role: instructions, model and settings.

    `name` is its stable id (`assistant_id`). `model` is `""` for the backend's default.
    `parameters` and `tools` go to the backend as they are; `answer_schema` is a JSON Schema
    that the answer must follow. `origin` says where it was read from, for messages to people.
    """

    name: str
    instructions: str
    aliases: tuple[str, ...] = ()
    model: str = ""
    parameters: JsonObject = field(default_factory=dict)
    tools: tuple[JsonObject, ...] = ()
    answer_schema: JsonObject | None = None
    description: str = ""
    origin: str = ""

    @property
    def version(self) -> str:
        """A short text derived from everything that shapes the answers; recorded on every turn."""
        content: JsonValue = {
            "instructions": self.instructions,
            "model": self.model,
            "parameters": dict(self.parameters),
            "tools": list(self.tools),
            "answer_schema": self.answer_schema,
        }
        return digest_of(content)[:12]


class AssistantCatalogue:
    """The assistants there are, found by name or alias; one of them is the default."""

    def __init__(self, assistants: Iterable[Assistant], *, default: str) -> None:
        """Index `assistants` by name and alias.

        Raises:
            InvalidAssistant: Two of them claim one name, there is none, or none is the default.
        """
        self._assistants = tuple(sorted(assistants, key=lambda assistant: assistant.name))
        self._by_name: Mapping[str, Assistant] = self._index()
        if default not in self._by_name:
            known = ", ".join(self.names) or "none"
            text = f"The default assistant {default!r} is not among those found: {known}."
            raise InvalidAssistant(text)
        self.default = self._by_name[default]

    def _index(self) -> dict[str, Assistant]:
        by_name: dict[str, Assistant] = {}
        for assistant in self._assistants:
            for name in dict.fromkeys((assistant.name, *assistant.aliases)):
                other = by_name.get(name)
                if other is not None:
                    text = (
                        f"Two assistants claim the name {name!r}: "
                        f"{other.origin or other.name} and {assistant.origin or assistant.name}. "
                        "Rename one or drop the alias."
                    )
                    raise InvalidAssistant(text)
                by_name[name] = assistant
        return by_name

    @property
    def assistants(self) -> tuple[Assistant, ...]:
        """All assistants, by name."""
        return self._assistants

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all assistants, without their aliases."""
        return tuple(assistant.name for assistant in self._assistants)

    def knows(self, name: str) -> bool:
        """Whether `name` is a name or an alias of an assistant."""
        return name in self._by_name

    def resolve(self, name: str = "") -> Assistant:
        """Find the assistant called `name`, or the default for `""`.

        Raises:
            UnknownAssistant: There is none; the error lists those known.
        """
        if not name:
            return self.default
        assistant = self._by_name.get(name)
        if assistant is None:
            raise UnknownAssistant(name, self.names)
        return assistant
