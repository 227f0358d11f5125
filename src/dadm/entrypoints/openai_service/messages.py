"""What is sent to the service and what it replies: the bodies of its requests and replies."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dadm.domain.errors import InvalidTask
from dadm.domain.task import DEFAULT_ENGINE, ServiceTask, VariableSelection, refuse_unusable_id
from dadm.entrypoints.openai_service.problems import MALFORMED, RequestRefused
from dadm.ports.assistant_service import TaskAnswer

ID = "At most 255 characters without control characters."


def written(moment: datetime) -> str:
    """Write a moment as replies do: UTC, as RFC 3339 has it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class _Request(BaseModel):
    """A body that is taken as it is: a number is no text, and unknown fields are told of."""

    model_config = ConfigDict(strict=True, extra="allow")

    @classmethod
    def read(cls, body: dict[str, Any]) -> Self:
        """Check `body`; a field that is null counts as left out.

        Raises:
            RequestRefused: It names every field that is wrong, and how.
        """
        try:
            return cls.model_validate({key: each for key, each in body.items() if each is not None})
        except ValidationError as error:
            found = [
                {"field": ".".join(str(step) for step in each["loc"]), "message": each["msg"]}
                for each in error.errors(include_url=False, include_input=False)
            ]
            detail = " ".join(f"{each['field']}: {each['message']}." for each in found)
            raise RequestRefused(MALFORMED, detail, errors=found) from None

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """The fields that nobody reads, for they may be misspelled."""
        return tuple(sorted(self.model_extra or ()))


class TaskIdentity(_Request):
    """Which work it is."""

    task_id: str = Field(
        default="",
        description=f"Names the work: the same for every repetition of it. {ID} "
        "Without one (and without an Idempotency-Key) one is minted and returned.",
    )
    process_instance_id: str = Field(
        default="",
        description="The process instance whose thread with the assistant is continued. "
        f"Without one the task has a thread of its own. {ID}",
    )
    engine: str = Field(
        default=DEFAULT_ENGINE,
        description="The id of the engine that numbers the process instance; `http` for callers "
        "that are none.",
    )
    tenant: str = Field(default="", description="Whose process instance it is, where that matters.")
    scope: str = Field(
        default="",
        description="Whose thread it is, where that is not the process instance's. What begins "
        "with `task:`, `element:` or `business-key:` is kept for orchestrators.",
    )


class ProcessTaskRequest(TaskIdentity):
    """A task to be answered."""

    task_description: str = Field(
        description="What to ask, where `task_documentation` is empty. Must not be blank."
    )
    task_name: str = Field(default="", description="The task's name, for messages to people.")
    task_documentation: str = Field(
        default="", description="What to ask, with `${…}` placeholders for variables."
    )
    variables: dict[str, Any] = Field(
        default_factory=dict,
        description="The process variables. Those that the thread has not been shown yet, or that "
        "changed since, are shown below the question.",
    )
    assistant: str = Field(
        default="", description="Who is asked, by name or alias; the default assistant if nobody."
    )
    element_id: str = Field(
        default="", description="The task's element in its model, sent by orchestrators."
    )
    process_definition: str = Field(
        default="", description="The model and its version, sent by orchestrators."
    )
    mapped_variables: list[str] | None = Field(
        default=None,
        description="What the task's mapping provides: only these variables are shown, "
        "unless `variable_selection` lists others.",
    )
    own_answers: list[str] = Field(
        default_factory=list,
        description="Variables that hold earlier answers: not shown unless named.",
    )
    variable_selection: str = Field(
        default="changed",
        description="Which variables are shown: `changed`, `all`, `none`, or names with commas.",
    )
    answer_schema: dict[str, Any] | None = Field(
        default=None, description="A JSON Schema that the answer must follow."
    )

    def as_task(self, *, task_id: str) -> ServiceTask:
        """Give the task, named `task_id`.

        Raises:
            InvalidTask: An id cannot be used, or there is nothing to ask.
        """
        if not self.task_description.strip():
            msg = "task_description is empty: say what to ask."
            raise InvalidTask(msg)
        for name in ("element_id", "process_definition"):
            refuse_unusable_id(name, getattr(self, name))
        return ServiceTask(
            task_id=task_id,
            engine=self.engine,
            tenant=self.tenant,
            process_instance_id=self.process_instance_id,
            scope=self.scope,
            task_name=self.task_name,
            element_id=self.element_id,
            process_definition=self.process_definition,
            description=self.task_description,
            documentation=self.task_documentation,
            variables=self.variables,
            mapped=None if self.mapped_variables is None else tuple(self.mapped_variables),
            own_answers=frozenset(self.own_answers),
            assistant=self.assistant,
            selection=VariableSelection.parse(self.variable_selection),
            answer_schema=self.answer_schema,
        )


class TurnNamedRequest(TaskIdentity):
    """A task whose outcome the engine has."""

    def as_task(self) -> ServiceTask:
        """Give a task of that identity; what it asked does not matter any more.

        Raises:
            InvalidTask: An id cannot be used.
        """
        return ServiceTask(
            task_id=self.task_id,
            engine=self.engine,
            tenant=self.tenant,
            process_instance_id=self.process_instance_id,
            scope=self.scope,
            description="reported",
        )


class Result(BaseModel):
    """The answer."""

    assistant_id: str
    processed_at: datetime
    processed_by: str
    recommendation: str
    thread_id: str


class TurnFacts(BaseModel):
    """How the answer came about: `replayed` from the record, `recovered` by looking."""

    id: str
    sequence: int
    replayed: bool
    recovered: bool
    structured: bool


class UsageFacts(BaseModel):
    """What the turn cost, in tokens as the backend counted them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


class ThreadFacts(BaseModel):
    """The thread's conversation: `previous_thread_id` after it was replaced for this turn."""

    generation: int
    change: Literal["created", "reused", "rebuilt"]
    previous_thread_id: str | None
    copied_messages: int


class AssistantFacts(BaseModel):
    """Who answered, and in which version."""

    name: str
    version: str


class ProcessTaskReply(BaseModel):
    """A task's answer."""

    status: Literal["success"] = "success"
    task_id: str
    result: Result
    timestamp: datetime
    approach: Literal["name_based_discovery"] = "name_based_discovery"
    turn: TurnFacts
    usage: UsageFacts
    thread: ThreadFacts
    assistant: AssistantFacts
    ignored_fields: list[str] = Field(
        default_factory=list, description="Fields of the request that nobody reads."
    )

    @classmethod
    def of(cls, answer: TaskAnswer, *, now: datetime, ignored: tuple[str, ...]) -> Self:
        """Write `answer` down."""
        return cls(
            task_id=answer.task_id,
            result=Result(
                assistant_id=answer.assistant_id,
                processed_at=answer.processed_at,
                processed_by=answer.processed_by,
                recommendation=answer.recommendation,
                thread_id=answer.thread_id,
            ),
            timestamp=now,
            turn=TurnFacts(
                id=answer.turn_id,
                sequence=answer.sequence,
                replayed=answer.is_replayed,
                recovered=answer.is_recovered,
                structured=answer.has_structure,
            ),
            usage=UsageFacts.model_validate(answer.usage.as_json()),
            thread=ThreadFacts(
                generation=answer.generation,
                change=answer.change.value,
                previous_thread_id=answer.previous_thread_id or None,
                copied_messages=answer.copied_messages,
            ),
            assistant=AssistantFacts(name=answer.assistant_id, version=answer.assistant_version),
            ignored_fields=list(ignored),
        )
