"""ModelLibrary: deployed models, made ready to run once and kept."""

from collections import OrderedDict
from dataclasses import dataclass

from dadm.adapters.engines.embedded.instances.building import RunnableModel, build
from dadm.adapters.engines.embedded.models.reading import read_process
from dadm.domain.errors import UnknownProcess
from dadm.ports.engine import ProcessDefinition
from dadm.ports.process_store import ProcessStore, StoredDefinition

MOST_KEPT = 256
"""Models kept ready; others are read again when they are needed."""


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A definition with what runs it."""

    definition: ProcessDefinition
    runnable: RunnableModel


class ModelLibrary:
    """Finds models by definition id; a definition never changes, so nothing here goes stale."""

    def __init__(self, store: ProcessStore) -> None:
        """Read from `store`."""
        self._store = store
        self._kept: OrderedDict[str, DeployedModel] = OrderedDict()

    async def model(self, definition_id: str) -> DeployedModel:
        """Give the model of a definition.

        Raises:
            UnknownProcess: There is no such definition.
            InvalidModel: It was deployed, but this version of the program would not run it.
        """
        kept = self._kept.get(definition_id)
        if kept is None:
            stored = await self._store.definition(definition_id)
            if stored is None:
                text = f"There is no process definition {definition_id!r}."
                raise UnknownProcess(text)
            kept = self._keep(stored)
        self._kept.move_to_end(definition_id)
        return kept

    async def latest(self, key: str, *, tenant: str) -> DeployedModel | None:
        """Give the latest version of a process, None where it was never deployed."""
        stored = await self._store.latest_definition(key, tenant=tenant)
        if stored is None:
            return None
        return self._kept.get(stored.definition.definition_id) or self._keep(stored)

    def _keep(self, stored: StoredDefinition) -> DeployedModel:
        definition = stored.definition
        model = read_process(stored.source, stored.resource_name, definition.key)
        deployed = DeployedModel(definition, build(model))
        self._kept[definition.definition_id] = deployed
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return deployed
