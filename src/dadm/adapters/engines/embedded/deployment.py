"""Deployment: models come in, are checked, and get a version."""

from collections.abc import Mapping, Sequence

from dadm.adapters.engines.embedded.models.reading import ReadProcess, read_models
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.domain.errors import EngineRejected, InvalidModel, RequestError
from dadm.domain.json import digest_of
from dadm.ports.engine import AssistantTask, ProcessDefinition
from dadm.ports.process_store import StoredDefinition

_ATTEMPTS = 5


class Deployment:
    """Deploys models and says what was deployed."""

    def __init__(self, stepping: Stepping) -> None:
        """Work on `stepping`."""
        self._stepping = stepping

    async def deploy(
        self, documents: Mapping[str, bytes], *, tenant: str = ""
    ) -> Sequence[ProcessDefinition]:
        """Deploy files, by name, all or none; an unchanged file keeps its processes' versions.

        Raises:
            InvalidModel: Something in a file would not run as meant; all of it is named.
        """
        read = read_models(documents)
        _refuse_twins(read)
        for attempt in range(_ATTEMPTS):
            stored = [await self._stored(process, tenant) for process in read]
            new = [entry for entry, is_new in stored if is_new]
            try:
                if new:
                    await self._stepping.store.add_definitions(new)
            except EngineRejected:
                # Another replica deployed the same process at this moment: look again.
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return tuple(entry.definition for entry, _ in stored)
        return ()

    async def definitions(self) -> Sequence[ProcessDefinition]:
        """Give the latest version of every process, by key."""
        return await self._stepping.store.definitions(with_running=False)

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give the AI tasks of every version with running instances, and of the latest."""
        found: dict[AssistantTask, None] = {}
        for definition in await self._stepping.store.definitions(with_running=True):
            try:
                deployed = await self._stepping.models.model(definition.definition_id)
            except RequestError:
                # Deployed by another version of the program; its instances cannot move here.
                continue
            for element in deployed.runnable.model.assistant_elements:
                if element.work is not None:
                    task = AssistantTask(
                        topic=element.work.topic,
                        element_id=element.element_id,
                        process_definition_key=definition.key,
                        assistant=element.work.assistant,
                    )
                    found[task] = None
        return tuple(found)

    async def _stored(self, process: ReadProcess, tenant: str) -> tuple[StoredDefinition, bool]:
        """Give the definition that holds a process, and whether it must be added."""
        model = process.model
        digest = digest_of(process.source.hex())
        latest = await self._stepping.store.latest_definition(model.key, tenant=tenant)
        if latest is not None and latest.digest == digest:
            return latest, False
        version = 1 if latest is None else latest.definition.version + 1
        owner = f"@{tenant}" if tenant else ""
        definition = ProcessDefinition(
            definition_id=f"{model.key}:{version}{owner}",
            key=model.key,
            version=version,
            name=model.name,
            deployed_at=self._stepping.clock.now(),
            tenant=tenant,
        )
        stored = StoredDefinition(
            definition=definition,
            resource_name=process.resource,
            digest=digest,
            source=process.source,
        )
        return stored, True


def _refuse_twins(read: Sequence[ReadProcess]) -> None:
    """Refuse two processes with one key among the files.

    Raises:
        InvalidModel: It names the key and both files.
    """
    seen: dict[str, str] = {}
    for process in read:
        key = process.model.key
        if key in seen:
            text = f"The process {key} is in {seen[key]} and in {process.resource}."
            raise InvalidModel(text)
        seen[key] = process.resource
