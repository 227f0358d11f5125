"""EmbeddedEngine: all roles of an engine on one process store."""

from dadm.adapters.engines.embedded.deployment import Deployment
from dadm.adapters.engines.embedded.handout import TaskHandout
from dadm.adapters.engines.embedded.history import History
from dadm.adapters.engines.embedded.incidents import Incidents
from dadm.adapters.engines.embedded.reports import TaskReports
from dadm.adapters.engines.embedded.runtime import Runtime
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.adapters.engines.embedded.timers import Timers
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine_features import Feature
from dadm.ports.process_store import ProcessStore

FEATURES = frozenset(
    {
        Feature.MULTI_TOPIC,
        Feature.UNLOCK,
        Feature.PRIORITY,
        Feature.FENCED_LEASE,
        Feature.LEASE_ENDS_WITH_FAILURE,
        Feature.PROCESS_FILTER,
        Feature.ALL_VARIABLES,
        Feature.MODELS_TOLD,
        Feature.ANSWERS_REFUSED,
        Feature.ERROR_VARIABLES,
        Feature.CANCELLED_ENDS,
        Feature.SHARED_ENDS,
        Feature.OUTBOX,
        Feature.INSTANCE_STATES,
        Feature.ROOT_INSTANCE,
        Feature.BUSINESS_KEY,
    }
)


class EmbeddedEngine(Deployment, Runtime, Incidents, TaskHandout, TaskReports, History):
    """ServiceTasks, ProcessModels, ProcessRuntime and ProcessHistory of processes run here.

    Any number of these, in any number of programs, may share one store. Somebody must call
    `run_due` now and then; `fetch_and_lease` does it while it waits.
    """

    def __init__(
        self,
        store: ProcessStore,
        clock: Clock,
        identifiers: Identifiers,
        *,
        engine_id: str = "embedded",
    ) -> None:
        """Run what `store` holds; `engine_id` is part of the name of every thread and turn."""
        stepping = Stepping(store, clock, identifiers, engine_id)
        self._run_timers = Timers(stepping)
        # One of these for all roles; each of the other initialisers would only set the same again.
        TaskHandout.__init__(self, stepping, self._run_timers)

    @property
    def engine_id(self) -> str:
        """The configured id of this engine."""
        return self._stepping.engine_id

    @property
    def features(self) -> frozenset[Feature]:
        """What this engine can do."""
        return FEATURES

    async def run_due(self) -> int:
        """Let every timer come that is due by the store's clock; give how many did.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self._run_timers.run_due()
