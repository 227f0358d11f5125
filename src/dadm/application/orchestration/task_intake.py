"""TaskIntake: an engine's task becomes one that the assistant service takes."""

from dadm.domain.task import ServiceTask, VariableSelection, parse_answer_schema
from dadm.domain.thread_scope import SETTING, ThreadScope, scope_name
from dadm.ports.assistant_service import AssistantService
from dadm.ports.engine import LeasedTask


class TaskIntake:
    """Reads the settings of tasks: who is asked, what, with which variables, on whose thread."""

    def __init__(self, engine_id: str, service: AssistantService) -> None:
        """Take tasks of the engine called `engine_id`; `service` knows its assistants."""
        self._engine_id = engine_id
        self._service = service

    async def service_task(self, task: LeasedTask) -> ServiceTask:
        """Make the engine's task one that the assistant service takes.

        The assistant is the task's property `assistant`, else its `service.name` where that is
        known, else the default.

        Raises:
            InvalidTask: It cannot be asked as it is; the message says what to do.
        """
        wanted = task.properties.get("assistant", "").strip()
        named = task.properties.get("service.name", "").strip()
        if not wanted and named and await self._service.knows_assistant(named):
            wanted = named
        return ServiceTask(
            engine=self._engine_id,
            tenant=task.tenant,
            task_id=task.task_id,
            process_instance_id=task.process_instance_id,
            scope=_scope_of(task),
            task_name=task.element_name,
            element_id=task.element_id,
            process_definition=task.process_definition_key,
            description=task.element_name,
            documentation=task.documentation or task.properties.get("prompt", ""),
            variables=task.variables,
            mapped=task.mapped,
            own_answers=task.own_answers,
            assistant=wanted,
            selection=VariableSelection.parse(task.properties.get("variables", "")),
            answer_schema=parse_answer_schema(task.properties.get("answerSchema", "")),
        )


def _scope_of(task: LeasedTask) -> str:
    return scope_name(
        ThreadScope.parse(task.properties.get(SETTING, "")),
        process_instance_id=task.process_instance_id,
        root_process_instance_id=task.root_process_instance_id,
        business_key=task.business_key,
        element_id=task.element_id,
        task_id=task.task_id,
    )
