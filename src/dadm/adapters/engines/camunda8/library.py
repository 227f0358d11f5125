"""JobLibrary: which job types are AI tasks', and what the server tells of the models behind them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dadm.adapters.engines.camunda8.connection import Camunda8Connection, Refused, content_of
from dadm.adapters.engines.camunda8.models import DefinitionModel, JobModel, read_definition
from dadm.adapters.engines.replied_rows import read_each
from dadm.domain.errors import EngineUnavailable, InvalidModel
from dadm.ports.engine import AssistantTask

LOGGER = logging.getLogger(__name__)

PAGE = 500
NO_SEARCH = frozenset({403, 404, 405})
"""What a server without secondary storage answers to a search, or one before 8.8."""

NO_TYPES = (
    "The engine at {address} does not tell its models (before 8.8, or without secondary storage), "
    "so set DADM_ENGINE__TOPICS to the job types of its AI tasks, separated by commas."
)


class JobLibrary:
    """Reads models where the server gives them (8.8 and later); a definition never changes."""

    def __init__(self, connection: Camunda8Connection, types: frozenset[str]) -> None:
        """Read over `connection`; `types`, if there are any, were set by hand."""
        self._connection = connection
        self._types = types
        self._read: dict[str, DefinitionModel] = {}
        self._gives_models = True
        self._told: set[str] = set()

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give the AI tasks of every deployed version, or one for each type set by hand.

        Raises:
            EngineUnavailable: It does not answer, or no types are known.
        """
        if self._types:
            return tuple(
                AssistantTask(topic=each, element_id="", process_definition_key="", assistant="")
                for each in sorted(self._types)
            )
        found: set[AssistantTask] = set()
        by_process: dict[str, list[JobModel]] = {}
        for definition_key, process_id in (await self._definitions()).items():
            model = await self.definition(definition_key, process_id)
            by_process.setdefault(process_id, []).extend(model.tasks.values() if model else ())
        # Jobs are handed out by type alone, whatever process they are of.
        foreign = {
            task.job_type
            for tasks in by_process.values()
            for task in tasks
            if not task.is_assistant
        }
        for process_id, tasks in by_process.items():
            for task in (each for each in tasks if each.is_assistant):
                why = _left_alone(task, foreign)
                if why:
                    self._tell_once(f"{process_id}, {task.element_id}, is left alone: {why}")
                    continue
                found.add(
                    AssistantTask(
                        topic=task.job_type,
                        element_id=task.element_id,
                        process_definition_key=process_id,
                        assistant=task.assistant,
                    )
                )
        return sorted(found, key=lambda each: (each.topic, each.process_definition_key))

    async def definition(self, definition_key: str, process_id: str) -> DefinitionModel | None:
        """Give the model of a definition, an empty one where the server does not tell.

        None where it is not there yet: what the server tells follows what runs by some seconds.

        Raises:
            EngineUnavailable: It does not answer.
        """
        if definition_key in self._read or not self._gives_models:
            return self._read.get(definition_key, DefinitionModel())
        path = f"/process-definitions/{quote(definition_key, safe='')}/xml"
        try:
            response = await self._connection.get(path, accept="text/xml, application/json")
            model = read_definition(response.content, process_id)
        except Refused as refused:
            if refused.title == "NOT_FOUND":
                return None
            self._gives_models = False
            return DefinitionModel()
        except InvalidModel as error:
            LOGGER.warning("The model of %s cannot be read: %s", process_id, error)
            model = DefinitionModel()
        self._read[definition_key] = model
        return model

    async def _definitions(self) -> dict[str, str]:
        """Give the ids of all deployed processes, by definition key."""
        found: dict[str, str] = {}
        after: str | None = None
        while True:
            page: dict[str, Any] = {"limit": PAGE}
            if after is not None:
                page["after"] = after
            try:
                reply = await self._connection.post("/process-definitions/search", {"page": page})
            except Refused as refused:
                if refused.status in NO_SEARCH:
                    msg = NO_TYPES.format(address=self._connection.address)
                    raise EngineUnavailable(msg) from refused
                raise EngineUnavailable(refused.detail) from refused
            items = reply.get("items") or []
            found |= read_each(items, _named, of="process definitions")
            after = (reply.get("page") or {}).get("endCursor")
            if len(items) < PAGE or not after:
                return found

    async def version(self) -> str:
        """Say which version the gateway is of.

        Raises:
            EngineUnavailable: Nothing answers, or no gateway.
        """
        try:
            about = content_of(await self._connection.get("/topology"))
        except Refused as refused:
            msg = f"{refused.detail} DADM_ENGINE_URL must be its REST interface, as in http://host:8080/v2."
            raise EngineUnavailable(msg) from refused
        return str(about.get("gatewayVersion", "unknown"))

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            LOGGER.warning("%s", sentence)


def _named(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["processDefinitionKey"]), str(row["processDefinitionId"])


def _left_alone(task: JobModel, foreign: set[str]) -> str:
    if not task.job_type:
        return "its job type is computed; set DADM_ENGINE__TOPICS"
    if task.job_type in foreign:
        return f"its job type {task.job_type!r} is also that of a task without an assistant"
    return ""
