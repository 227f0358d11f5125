"""`dadm instances`: the runs of processes, listed, shown and cancelled."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dadm.entrypoints.cli.options import AsJson, Database, Limit
from dadm.entrypoints.cli.output import print_facts, print_json, print_table
from dadm.entrypoints.cli.running import Opened, with_database

if TYPE_CHECKING:
    from dadm.domain.thread import Thread
    from dadm.ports.engine import EngineIncident, ProcessInstance

InstanceId = Annotated[str, typer.Argument(metavar="ID", help="The process_instance_id.")]


def list_instances(
    state: Annotated[
        Literal["active", "completed", "cancelled"] | None,
        typer.Option("--state", help="Only those in this state."),
    ] = None,
    limit: Limit = 100,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List process instances, newest first."""
    from dadm.entrypoints.cli.documents import instance_json
    from dadm.ports.engine import InstanceState

    wanted = InstanceState(state) if state else None
    found: Sequence[ProcessInstance] = with_database(
        lambda opened: opened.engine.instances(state=wanted, limit=limit), database=database
    )
    if as_json:
        print_json({"instances": [instance_json(each) for each in found]})
        return
    print_table(
        ("instance", "process", "business key", "state", "waiting at", "incidents", "started"),
        [
            (
                each.instance_id,
                each.definition_key,
                each.business_key,
                each.state.value,
                each.waiting_at,
                each.incident_count,
                each.started_at,
            )
            for each in found
        ],
        empty="There are no instances. Start one: dadm start KEY",
    )


def show_instance(
    instance_id: InstanceId, database: Database = None, as_json: AsJson = False
) -> None:
    """Show an instance with its variables, incidents and threads."""
    from dadm.entrypoints.cli.documents import incident_json, whole_instance_json
    from dadm.ports.store_values import ThreadFilter

    async def read(
        opened: Opened,
    ) -> "tuple[ProcessInstance, list[EngineIncident], Sequence[Thread]]":
        instance = await opened.engine.instance(instance_id)
        incidents = await opened.engine.incidents(limit=10_000) if instance.incident_count else ()
        engine = opened.settings.engine_id
        threads = await opened.threads.threads(
            ThreadFilter(engine=engine, process_instance_id=instance_id)
        )
        return instance, [each for each in incidents if each.instance_id == instance_id], threads

    instance, incidents, threads = with_database(read, database=database)
    if as_json:
        print_json(
            {
                **whole_instance_json(instance),
                "incidents": [incident_json(each) for each in incidents],
                "thread_ids": [each.thread_id for each in threads if each.thread_id],
            }
        )
        return
    print_facts(
        [
            ("instance", instance.instance_id),
            ("process", instance.definition_id),
            ("business key", instance.business_key),
            ("tenant", instance.tenant),
            ("parent", instance.parent_id),
            ("state", instance.state.value),
            ("waiting at", instance.waiting_at),
            ("started", instance.started_at),
            ("ended", instance.ended_at),
            ("threads", tuple(each.thread_id for each in threads if each.thread_id)),
        ]
    )
    print()
    print_table(("variable", "value"), sorted(instance.variables.items()), empty="No variables.")
    for incident in incidents:
        print(f"\nIncident {incident.incident_id} at {incident.element_id}")
        print_facts([("message", incident.message), ("details", incident.details)])


def cancel_instance(instance_id: InstanceId, database: Database = None) -> None:
    """End an instance now; its waiting tasks are gone, its threads are kept and closed."""
    with_database(lambda opened: opened.engine.cancel(instance_id), database=database)
    print(f"Process instance {instance_id} is cancelled.")
