"""Which requests a fault strikes, and how often: rules, as values."""

from dataclasses import KW_ONLY, dataclass

from dadm.adapters.simulators.openai.endpoints import ENDPOINTS
from dadm.adapters.simulators.openai.fault_kinds import NAMES, Fault, at_least
from dadm.adapters.simulators.openai.wire import Call

ANY = "*"
THE_REST = "**"
METHODS = ("GET", "POST", "DELETE")


class WrongFault(ValueError):
    """A rule that cannot be followed; the message says what is accepted."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests by method and path: `POST /v1/responses`, `* /v1/conversations/*/items`.

    `*` stands for any method, or for one part of a path; `**` at the end of a path for any
    number of parts.
    """

    method: str
    path: str

    def __post_init__(self) -> None:
        if self.method not in {*METHODS, ANY}:
            message = f"A method is {', '.join(METHODS)} or *, not '{self.method}'."
            raise WrongFault(message)
        known = [path for path, methods in ENDPOINTS.items() if self._takes_some(path, methods)]
        if not known:
            message = (
                f"The API has no request '{self}'. A path begins with /v1, as in 'POST "
                "/v1/responses'; * stands for one part of it, ** at its end for all the rest."
            )
            raise WrongFault(message)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def matches(self, method: str, path: str) -> bool:
        return self.method in {ANY, method} and _fits(self.path.split("/"), path.split("/"))

    def _takes_some(self, path: str, methods: tuple[str, ...]) -> bool:
        return any(self.matches(method, path) for method in methods)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """A fault, and when it strikes.

    Attributes:
        on: The requests that may be struck, as `Requests` or as its text.
        fault: What happens to them.
        conversation: Only requests about the conversation of this id.
        first: The first of the matching requests that may be struck, counted from 1.
        times: How many are struck; without it, any number.
        probability: How likely each of them is struck.
        seed: Decides which; without it, the seed of all faults and the rule's place among them.
    """

    on: Requests
    fault: Fault
    _: KW_ONLY
    conversation: str | None = None
    first: int = 1
    times: int | None = None
    probability: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        at_least("first", self.first, 1)
        at_least("times", self.times, 1)
        if not 0 <= self.probability <= 1:
            message = f"'probability' is from 0 to 1, not {self.probability}."
            raise WrongFault(message)

    @property
    def name(self) -> str:
        """What the fault is called."""
        return NAMES[type(self.fault)]

    def matches(self, call: Call, conversation_id: str | None) -> bool:
        """Whether a request is one of those meant, wherever it stands among them."""
        if self.conversation not in {None, conversation_id}:
            return False
        return self.on.matches(call.method, call.path)


def _fits(pattern: list[str], parts: list[str]) -> bool:
    if pattern[-1] == THE_REST:
        pattern = pattern[:-1]
        parts = parts[: len(pattern)]
    return len(pattern) == len(parts) and all(
        expected in {ANY, part} or part.startswith("{")
        for expected, part in zip(pattern, parts, strict=True)
    )
