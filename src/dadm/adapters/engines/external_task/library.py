"""ModelLibrary: deployed definitions, read once each, and the topics that hold AI tasks."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.models import DefinitionModel, TaskModel, read_definition
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.adapters.engines.replied_rows import read_each
from dadm.domain.errors import EngineUnavailable, InvalidModel
from dadm.ports.engine import AssistantTask

LOGGER = logging.getLogger(__name__)

PAGE = 500
READ_AT_ONCE = 4
"""Models that are read at the same time, so that a start does not press a big engine."""


class ModelLibrary:
    """Reads models from an engine. A definition never changes, so what was read is kept.

    All versions count, not the latest alone: older instances still raise older topics. Whether
    something was deployed since is asked with two small requests.
    """

    def __init__(self, connection: EngineConnection, topics: frozenset[str]) -> None:
        """Read over `connection`; `topics`, if there are any, were set by hand."""
        self._connection = connection
        self._topics = topics
        self._read: dict[str, DefinitionModel] = {}
        self._keys: dict[str, str] = {}
        self._state: object = None
        self._told: set[str] = set()

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give the AI tasks of every deployed version, or one for each topic set by hand.

        Raises:
            EngineUnavailable: It does not answer, or not as an engine.
        """
        if self._topics:
            return tuple(
                AssistantTask(topic=topic, element_id="", process_definition_key="", assistant="")
                for topic in sorted(self._topics)
            )
        await self._refresh()
        found = {
            AssistantTask(
                topic=task.topic,
                element_id=task.element_id,
                process_definition_key=key,
                assistant=task.assistant,
            )
            for key, tasks in self._by_key().items()
            for task in self._workable(key, tasks)
        }
        return sorted(found, key=lambda each: (each.topic, each.process_definition_key))

    async def definition(self, definition_id: str, key: str) -> DefinitionModel:
        """Give the model of a definition, an empty one where it cannot be read.

        Raises:
            EngineUnavailable: It does not answer.
        """
        if definition_id not in self._read:
            self._read[definition_id] = await self._read_definition(definition_id, key)
        return self._read[definition_id]

    def may_be_called(self, key: str) -> bool:
        """Whether a model may call the process `key`; True as long as not all were read."""
        return self._state is None or any(
            call.may_be_of(key) for model in self._read.values() for call in model.calls
        )

    async def _refresh(self) -> None:
        """Read the definitions that came since, and forget those that went."""
        newest = await self._ask(
            "/deployment", sortBy="deploymentTime", sortOrder="desc", maxResults=1
        )
        counted = await self._ask("/process-definition/count")
        state = (counted, read_each(newest, itemgetter("id"), of="deployments"))
        if state == self._state:
            return
        keys: dict[str, str] = {}
        while True:
            page = await self._ask(
                "/process-definition",
                sortBy="id",
                sortOrder="asc",
                firstResult=len(keys),
                maxResults=PAGE,
            )
            keys |= read_each(page, itemgetter("id", "key"), of="process definitions")
            if len(page) < PAGE:
                break
        await self._read_missing(keys)
        self._keys = keys
        self._read = {each: model for each, model in self._read.items() if each in keys}
        self._state = state

    async def _read_missing(self, keys: dict[str, str]) -> None:
        missing = [definition_id for definition_id in keys if definition_id not in self._read]
        for begin in range(0, len(missing), READ_AT_ONCE):
            some = missing[begin : begin + READ_AT_ONCE]
            models = await asyncio.gather(
                *(self._read_definition(each, keys[each]) for each in some)
            )
            self._read |= dict(zip(some, models, strict=True))

    async def _read_definition(self, definition_id: str, key: str) -> DefinitionModel:
        try:
            reply = await self._connection.get(
                f"/process-definition/{quote(definition_id, safe=':')}/xml"
            )
            document = str(reply["bpmn20Xml"]).encode()
            return read_definition(document, key, topics=self._topics)
        except (Refused, InvalidModel, KeyError, TypeError) as error:
            # Deleted in this moment, or not of our kind. Its tasks are not ours.
            LOGGER.warning("The model of %s cannot be read: %s", definition_id, error)
            return DefinitionModel()

    async def _ask(self, path: str, **parameters: str | int) -> Any:
        try:
            return await self._connection.get(path, **parameters)
        except Refused as refused:
            msg = f"{self._connection.address}{path} was refused: {refused.refusal.message}"
            raise EngineUnavailable(msg) from refused

    def _by_key(self) -> dict[str, list[TaskModel]]:
        by_key: dict[str, list[TaskModel]] = {}
        for definition_id, key in self._keys.items():
            by_key.setdefault(key, []).extend(self._read[definition_id].tasks.values())
        return by_key

    def _workable(self, key: str, tasks: Iterable[TaskModel]) -> Iterable[TaskModel]:
        """Give the AI tasks whose topic is known, and is not another kind of task's as well.

        Tasks are handed out by topic: taking a shared one would take others' work away.
        """
        foreign = {task.topic for task in tasks if not task.is_assistant}
        for task in tasks:
            if not task.is_assistant:
                continue
            if not task.topic:
                why = "its topic is computed; set DADM_ENGINE__TOPICS"
            elif task.topic in foreign:
                why = f"its topic {task.topic!r} is also that of a task without an assistant"
            else:
                yield task
                continue
            self._tell_once(f"{key}, {task.element_id}, is left alone: {why}")

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            LOGGER.warning("%s", sentence)
