"""A job as a task of the port, with what its model tells beside what comes with it."""

from datetime import datetime

from dadm.adapters.engines.camunda8.jobs import ActivatedJob
from dadm.adapters.engines.camunda8.models import DefinitionModel, JobModel, answers_of
from dadm.adapters.engines.process_scope import with_scope
from dadm.ports.engine import LeasedTask


def leased_task(
    job: ActivatedJob, definition: DefinitionModel, model: JobModel, lease: str, until: datetime
) -> LeasedTask:
    """Make a job a task of the port, with what its model tells.

    Where the model is not told, the header `errors` names the codes that it catches.
    """
    headers = {**model.headers, **job.headers}
    caught = {each.strip() for each in headers.get("errors", "").split(",") if each.strip()}
    return LeasedTask(
        task_id=job.key,
        topic=job.type,
        element_id=job.element_id,
        element_name=model.name,
        process_instance_id=job.instance_key,
        root_process_instance_id=job.root_key,
        process_definition_id=job.definition_key,
        process_definition_key=job.process_id,
        business_key=job.business_id or "",
        tenant=job.tenant_id,
        priority=job.priority,
        retries=job.retries,
        lease_expires_at=until,
        variables=job.variables,
        mapped=model.mapped,
        properties=with_scope(headers, definition.thread_scope),
        documentation=model.documentation or headers.get("prompt", ""),
        caught_errors=model.caught_errors | caught,
        own_answers=definition.own_answers or answers_of(job.element_id, headers),
        lease=lease,
    )
