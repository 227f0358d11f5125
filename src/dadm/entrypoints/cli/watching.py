"""Watching an instance until it ends, or until it cannot go on by itself."""

import asyncio
from collections.abc import Callable

from dadm.domain.errors import EngineRejected
from dadm.ports.engine import InstanceState, ProcessInstance, ProcessRuntime

PAUSE_SECONDS = 0.2

STILL_PAUSES = 50
"""After how many pauses in one place (ten seconds) people are told what may be missing."""


async def watch(
    engine: ProcessRuntime, instance_id: str, tell: Callable[[str], None]
) -> ProcessInstance:
    """Wait until the instance has ended, and tell where it stands meanwhile.

    Nothing is worked here: that is what `dadm run` or `dadm work` do, in another process.

    Raises:
        EngineRejected: It was cancelled, or has an incident, so that a person must act.
        UnknownProcess: There is no such instance.
    """
    stood: tuple[str, ...] = ()
    pauses = 0
    while True:
        instance = await engine.instance(instance_id)
        pauses += 1
        if pauses == STILL_PAUSES:
            tell("still there: AI tasks are worked by `dadm run` or `dadm work`; does one run?")
        if instance.waiting_at != stood and instance.state is InstanceState.ACTIVE:
            stood, pauses = instance.waiting_at, 0
            tell(f"waits at {', '.join(stood)}" if stood else "goes on")
        match instance.state:
            case InstanceState.COMPLETED:
                return instance
            case InstanceState.CANCELLED:
                msg = f"Process instance {instance_id} was cancelled."
                raise EngineRejected(msg)
            case InstanceState.ACTIVE if instance.incident_count:
                raise EngineRejected(await _incidents(engine, instance_id))
            case InstanceState.ACTIVE:
                await asyncio.sleep(PAUSE_SECONDS)


async def _incidents(engine: ProcessRuntime, instance_id: str) -> str:
    """Say what stopped the instance, and how it goes on."""
    found = [each for each in await engine.incidents() if each.instance_id == instance_id]
    said = [
        f"{each.element_id}: {each.message} Mend the cause, then: "
        f"dadm incidents retry {each.incident_id}"
        for each in found
    ]
    return "\n".join(said) or f"Process instance {instance_id} has an incident: dadm incidents list"
