"""Definitions, instances, tasks and incidents as `--json` prints them; names stay as they are."""

from typing import Any

from dadm.ports.engine import EngineIncident, ProcessDefinition, ProcessInstance, UserTask


def definition_json(definition: ProcessDefinition) -> dict[str, Any]:
    """Write a deployed version of a model."""
    return {
        "definition_id": definition.definition_id,
        "key": definition.key,
        "version": definition.version,
        "name": definition.name,
        "tenant": definition.tenant,
        "deployed_at": definition.deployed_at.isoformat(),
    }


def instance_json(instance: ProcessInstance) -> dict[str, Any]:
    """Write an instance without its variables."""
    return {
        "process_instance_id": instance.instance_id,
        "process": instance.definition_key,
        "definition_id": instance.definition_id,
        "business_key": instance.business_key,
        "tenant": instance.tenant,
        "state": instance.state.value,
        "waiting_at": list(instance.waiting_at),
        "incident_count": instance.incident_count,
        "parent_id": instance.parent_id or None,
        "started_at": instance.started_at.isoformat(),
        "ended_at": instance.ended_at.isoformat() if instance.ended_at else None,
    }


def whole_instance_json(instance: ProcessInstance) -> dict[str, Any]:
    """Write an instance with its variables."""
    return {**instance_json(instance), "variables": dict(instance.variables)}


def user_task_json(task: UserTask) -> dict[str, Any]:
    """Write a task that waits for a person."""
    return {
        "task_id": task.task_id,
        "process_instance_id": task.instance_id,
        "element_id": task.element_id,
        "name": task.name,
        "documentation": task.documentation,
        "created_at": task.created_at.isoformat(),
    }


def incident_json(incident: EngineIncident) -> dict[str, Any]:
    """Write what stopped an instance."""
    return {
        "incident_id": incident.incident_id,
        "process_instance_id": incident.instance_id,
        "element_id": incident.element_id,
        "task_id": incident.task_id,
        "message": incident.message,
        "details": incident.details,
        "created_at": incident.created_at.isoformat(),
    }
