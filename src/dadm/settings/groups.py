"""Groups of settings that share a prefix: backends, turns, engine, log."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, TypeAdapter, field_validator
from pydantic_settings import NoDecode

HUNDRED_YEARS_SECONDS = 3_155_760_000.0
"""The longest that anything waits: so long ago, every database still has a date for."""


def web_address(value: str) -> str:
    """Check that `value` is an address of HTTP, and give it without a slash at the end."""
    TypeAdapter(HttpUrl).validate_python(value)
    return value.rstrip("/")


class Group(BaseModel):
    """Settings that share a prefix."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True
    )

    @field_validator("base_url", check_fields=False)
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        return web_address(value) if value else value


class OpenAISettings(Group):
    """OpenAI's Conversations and Responses."""

    api_key: SecretStr | None = Field(
        default=None, description="The key; `OPENAI_API_KEY` serves too."
    )
    base_url: str = Field(
        default="", description="Another address of the API; `OPENAI_BASE_URL` serves too."
    )
    organization: str = Field(
        default="", description="The organisation that is charged; `OPENAI_ORG_ID` serves too."
    )
    project: str = Field(default="", description="The project; `OPENAI_PROJECT_ID` serves too.")
    account: str = Field(
        default="",
        description="A name of your own for the account. Threads stay with the account they were "
        "opened under; without a name it is the organisation and project, or a fingerprint of "
        "the key, so that a rotated key looks like another account.",
    )
    model: str = Field(
        default="gpt-5.4-mini", description="The model of assistants that name none."
    )
    background: bool = Field(
        default=True,
        description="Whether requests run in the background at OpenAI, so that an answer can "
        "still be fetched after a lost connection. Not available with zero data retention.",
    )
    output_ids_are_item_ids: bool = Field(
        default=True,
        description="Whether the ids in an answer are those of the conversation's items. If they "
        "are not, each turn costs one more request, which reads the last item's id.",
    )
    links_items: bool = Field(
        default=True,
        description="Whether items of one conversation can be put into another by their ids. If "
        "they can, a long thread heals even where requests are lost on the way.",
    )


class ChatSettings(Group):
    """Any server with OpenAI-compatible chat completions."""

    base_url: str = Field(default="http://127.0.0.1:8000/v1", description="The server's address.")
    api_key: SecretStr | None = Field(default=None, description="Its key, where it wants one.")
    model: str = Field(
        default="", description="The model; without one, the first that the server lists."
    )
    context_tokens: int | None = Field(
        default=None,
        ge=512,
        description="How many tokens the server really shows the model; without it, what the "
        "server tells, else 8192.",
    )


class LocalSettings(Group):
    """The language model that runs in this process."""

    model_path: Path | None = Field(
        default=None,
        description="A GGUF file; without one, the small model that the set-up installed.",
    )
    context_tokens: int = Field(
        default=2048, ge=256, description="The model's window, in tokens; memory grows with it."
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=256,
        description="How many processor threads it may use. More are faster on idle processors "
        "and much slower on busy ones, where they wait for each other.",
    )
    max_answer_tokens: int = Field(default=256, ge=1, description="The longest answer, in tokens.")


class ScriptedSettings(Group):
    """Answers from a script, for tests and trials."""

    script: Path | None = Field(
        default=None,
        description="A JSON file: a text that answers everything, a list of lines said one after "
        "the other, or an object from parts of questions to lines (the first part found counts; "
        '`""` is part of all). A line is a text or `{"answer": text, "seconds": number}`, with `refuse` and a reason in the '
        "place of `answer` for a refusal. Without a file, answers repeat the thread's questions.",
    )


class TurnSettings(Group):
    """How long turns may take and how many may happen at once."""

    turn_seconds: float = Field(
        default=600.0,
        gt=0,
        description="The longest one turn may hold its thread, recovery included.",
    )
    lease_seconds: float = Field(
        default=30.0, ge=6, description="How long a thread stays taken after its replica died."
    )
    ticket_seconds: float = Field(
        default=60.0,
        ge=3,
        description="How long a waiting task keeps its place after its replica died.",
    )
    concurrent_turns: int = Field(
        default=16, ge=1, description="Turns that may be under way at once."
    )
    waiting_turns: int = Field(
        default=1000, ge=0, description="Tasks that may wait for their threads at once."
    )
    copied_characters: int = Field(
        default=400_000,
        ge=0,
        description="How much of its transcript a rebuilt conversation is given back at most.",
    )
    when_too_long: Literal["shorten", "refuse"] = Field(
        default="shorten",
        description="What happens when a conversation no longer fits the model's window: it gives "
        "way to one that holds half as much (the first exchange and the latest ones), or the task "
        "is refused. An assistant can have OpenAI compact its conversations instead, by "
        "`context_management` in its parameters.",
    )
    patience_seconds: float = Field(
        default=60.0,
        ge=0,
        description="How long a turn may wait in all for a backend that is busy, limits requests "
        "or fails, before its task goes back to the engine with a retry less.",
    )
    failures_in_a_row: int = Field(
        default=5,
        ge=1,
        description="After so many failures in a row a backend is left alone; tasks then go back "
        "to the engine at once and keep their retries.",
    )
    rest_seconds: float = Field(
        default=15.0,
        gt=0,
        description="How long it is left alone before one task tries it; doubled each time it "
        "fails again, up to five minutes.",
    )
    losses_believed: int = Field(
        default=10,
        ge=0,
        description="How many threads' conversations one backend may lose within "
        "`losses_seconds`. More are not rebuilt but become incidents, since a wrong address or "
        "account is likelier than so many losses.",
    )
    losses_seconds: float = Field(
        default=600.0, gt=0, description="The time over which lost conversations are counted."
    )
    retired_seconds: float = Field(
        default=86_400.0,
        ge=0,
        description="How long a conversation that was replaced by another one stays at its "
        "backend before it is deleted there with all that is in it; never shorter than "
        "`turn_seconds`. 0 keeps them until their thread is erased.",
    )


class EndedSettings(Group):
    """What becomes of threads that nobody comes back to."""

    policy: Literal["delete-remote", "keep", "erase"] = Field(
        default="delete-remote",
        description="What happens to a thread some time after its process instance has ended. "
        "`delete-remote` deletes its conversations at the backend, with their items and responses, "
        "and keeps the transcript here; `erase` deletes the transcript too, and a receipt stays; "
        "`keep` leaves everything.",
    )
    after_seconds: float = Field(
        default=86_400.0,
        ge=0,
        le=HUNDRED_YEARS_SECONDS,
        description="How long after the end of its process instance that happens to a thread.",
    )
    idle_seconds: float = Field(
        default=86_400.0,
        ge=0,
        le=HUNDRED_YEARS_SECONDS,
        description="After how long without an answer the engine is asked, once a day, what became of "
        "a thread's process instance; the thread is closed if that has ended. 0 never asks.",
    )
    parked_seconds: float = Field(
        default=7_776_000.0,
        ge=0,
        le=HUNDRED_YEARS_SECONDS,
        description="After how long without an answer a thread is parked where the engine does not "
        "know its process instance, or cannot say: its conversation is deleted at the backend, "
        "and rebuilt from the transcript when another task comes. 0 parks none.",
    )


class EngineSettings(Group):
    """The process engine that tasks come from."""

    id: str = Field(
        default="",
        max_length=255,
        description="What this engine is called in thread keys. Give each engine its own, "
        "for two engines may number their instances alike; never change it afterwards.",
        json_schema_extra={
            "default_text": "`embedded`; with `DADM_ENGINE_URL` `camunda7` or `camunda8`, by its kind"
        },
    )
    user: str = Field(default="", description="Who works at the engine, with a password.")
    password: SecretStr | None = Field(default=None, description="The user's password.")
    token: SecretStr | None = Field(
        default=None, description="A bearer token, in the place of user and password."
    )
    token_url: str = Field(
        default="",
        description="Where bearer tokens are fetched with client credentials (OAuth 2, OpenID "
        "Connect), in the place of a token that does not change.",
    )
    client_id: str = Field(default="", description="The client, as the token server knows it.")
    client_secret: SecretStr | None = Field(default=None, description="The client's secret.")
    credentials_in: Literal["body", "header"] = Field(
        default="body",
        description="Whether the token server reads id and secret in the request's body or as "
        "Basic authentication in its header; most take either.",
    )
    scope: str = Field(
        default="",
        description="The scopes asked for, separated by spaces, if the server wants any.",
    )
    audience: str = Field(
        default="", description="Whom tokens are for, if the server wants to be told."
    )
    ca_file: Path | None = Field(
        default=None,
        description="A file of certificates (PEM) that are believed beside this machine's own: "
        "those of an own certificate authority that signed for the engine or the token server.",
    )
    topics: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Whose tasks are worked, separated by commas. Without any, those that the "
        "deployed models mark as an assistant's (`service.type`). A Camunda 8 before 8.8 does not tell "
        "its models, so that the job types must be named here.",
    )
    lease_seconds: float = Field(
        default=30.0, ge=3, description="How long the engine keeps a task for a worker that died."
    )
    retries: int = Field(default=3, ge=0, description="How often a failed task is tried again.")
    retry_seconds: float = Field(
        default=10.0,
        ge=0,
        description="The first pause before a failed task is tried again; it grows.",
    )

    @field_validator("id")
    @classmethod
    def _can_stand_in_keys(cls, value: str) -> str:
        if value != value.strip() or not value.isprintable():
            msg = "an id has no blanks around it and only characters that can be printed"
            raise ValueError(msg)
        return value

    @field_validator("token_url")
    @classmethod
    def _is_token_address(cls, value: str) -> str:
        if value:
            web_address(value)
        # As it was written: at some servers an address without the last slash is another one.
        return value

    @field_validator("topics", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(each.strip() for each in value.split(",") if each.strip())


EMBEDDED = "embedded"
"""The address, among several engines, of the one that runs in this process."""


class NamedEngineSettings(EngineSettings):
    """One of several engines that tasks come from; NAME is yours, of letters, digits and `_`."""

    id: str = Field(
        default="",
        max_length=255,
        description="What this engine is called in thread keys, each by another; never change it "
        "afterwards.",
        json_schema_extra={"default_text": "the name, in small letters"},
    )
    url: str = Field(
        default="",
        description="Its REST interface, as in `DADM_ENGINE_URL`, or `embedded` for the engine "
        "that runs in this process. Each engine needs one.",
    )

    @field_validator("url")
    @classmethod
    def _is_engine_address(cls, value: str) -> str:
        return value if value in ("", EMBEDDED) else web_address(value)


class LogSettings(Group):
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least severe records written. Prompts appear at `debug` alone.",
    )
    format: Literal["text", "json"] = Field(
        default="text", description="Lines for people or one JSON object per line."
    )
