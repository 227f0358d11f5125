"""What would go wrong with AI tasks: prompts, assistants, settings, error paths, results."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from lxml import etree

from dadm.adapters.engines.bpmn_errors import caught_errors, error_codes
from dadm.adapters.engines.bpmn_names import ASSISTANT, bpmn_children
from dadm.adapters.engines.linting import rules
from dadm.adapters.engines.linting.flow_order import may_both_run
from dadm.adapters.engines.linting.reading import (
    Report,
    Setting,
    WorkerTask,
    is_computed,
    line_of,
)
from dadm.adapters.engines.process_scope import scope_node, scope_of
from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import BackendRefused, InvalidTask
from dadm.domain.prompt import doubtful_placeholders
from dadm.domain.task import parse_answer_schema
from dadm.domain.thread_scope import SETTING, ThreadScope

SETTINGS = (
    *("service.type", "service.name", "assistant", "prompt", "variables"),
    *("resultVariable", "errorCode", "answerSchema", SETTING),
)
"""The settings of AI tasks that are read."""

_UNREAD = frozenset({"service.version"})
_CLOSE = 0.8


def check_type(task: WorkerTask, report: Report) -> None:
    """Look for a task that was meant as an AI task and is none."""
    for name, setting in {**task.settings, **task.unsent}.items():
        is_named = name == "service.type"
        if is_named and setting.value != ASSISTANT and _is_near(setting.value, ASSISTANT):
            problem = f"has service.type {setting.value!r}; {ASSISTANT!r} makes it an AI task."
            report.add(rules.MISSPELT_TYPE, setting.node, problem)
        elif not is_named and _is_near(name, "service.type") and _is_near(setting.value, ASSISTANT):
            problem = f"has {name!r}; an AI task is marked by 'service.type'."
            report.add(rules.MISSPELT_TYPE, setting.node, problem)


def check_task(
    task: WorkerTask, report: Report, catalogue: AssistantCatalogue, errors: Mapping[str, str]
) -> None:
    """Look at one AI task; `errors` are the codes that its file declares."""
    _check_spelling(task, report)
    _check_prompt(task, report)
    _check_assistant(task, report, catalogue)
    _check_error_path(task, report, errors)
    _check_answer_schema(task, report)
    given = task.settings.get(SETTING)
    if given is not None and not _is_expression_noted(given):
        _check_scope(given.value, given.node, report)


def check_process_scope(
    process: etree._Element, tasks: Sequence[WorkerTask], report: Report
) -> None:
    """Look at the scope that a process sets for `tasks`, which are all that it has of workers."""
    node = scope_node(process)
    if node is None:
        return
    _check_scope(scope_of(process), node, report)
    left = [each for each in tasks if each.is_assistant and not each.value(SETTING).strip()]
    if left:
        named = ", ".join(each.node.get("id", "") for each in left)
        problem = f"sets {SETTING}, which not every engine gives to workers; {named} need it."
        report.add(rules.SCOPE_NOT_SENT, node, problem)


def check_results(tasks: Sequence[WorkerTask], report: Report) -> None:
    """Look for result variables that two AI tasks of one process name."""
    named: dict[tuple[str, str], WorkerTask] = {}
    for task in tasks:
        name = task.value("resultVariable").strip()
        if not name:
            continue
        first = named.setdefault((task.process_key, name), task)
        if first is not task and may_both_run(first.node, task.node):
            problem = (
                f"writes its answer to {name!r}, as {first.node.get('id')} does "
                f"(line {line_of(first.node)}): the later answer replaces the earlier one."
            )
            report.add(rules.SAME_RESULT, task.settings["resultVariable"].node, problem)


def _check_spelling(task: WorkerTask, report: Report) -> None:
    for name, setting in {**task.settings, **task.unsent}.items():
        if name in SETTINGS or name in _UNREAD:
            continue
        meant = _nearest(name)
        if meant:
            problem = f"has {name!r}, which is not read; {meant!r} is."
            report.add(rules.MISSPELT_SETTING, setting.node, problem)


def _check_prompt(task: WorkerTask, report: Report) -> None:
    prompt = task.documentation or task.value("prompt").strip()
    name = task.node.get("name", "").strip()
    if not prompt and not name:
        report.add(rules.MISSING_PROMPT, task.node, "has no prompt: there is nothing to ask.")
    elif not prompt:
        problem = f"has no prompt; its name {name!r} is all that the assistant is asked."
        report.add(rules.PROMPT_IS_NAME, task.node, problem)
    elif not task.value("prompt").strip():
        problem = "has its prompt in the documentation alone; write it into the header 'prompt'."
        report.add(rules.PROMPT_NOT_SENT, task.node, problem)
    for path in doubtful_placeholders(prompt):
        problem = f"has ${{{path}}} in its prompt, which is not a variable or a path into one."
        report.add(rules.DOUBTFUL_PLACEHOLDER, task.node, problem)


def _check_assistant(task: WorkerTask, report: Report, catalogue: AssistantCatalogue) -> None:
    wanted = task.settings.get("assistant")
    named = task.settings.get("service.name")
    if wanted is not None and wanted.value.strip():
        name = wanted.value.strip()
        if not catalogue.knows(name) and not _is_expression_noted(wanted):
            known = ", ".join(catalogue.names)
            problem = f"wants the assistant {name!r}, which is not known; known are {known}."
            report.add(rules.UNKNOWN_ASSISTANT, wanted.node, problem)
    elif named is not None and not catalogue.knows(named.value.strip()) and named.value.strip():
        problem = (
            f"names {named.value.strip()!r}, which is no assistant: it is ignored, and "
            f"{catalogue.default.name} answers."
        )
        report.add(rules.UNKNOWN_SERVICE_NAME, named.node, problem)


def _is_expression_noted(setting: Setting) -> bool:
    """Whether the value is an expression, which is a finding of its own in a header."""
    return is_computed(setting.value) and setting.node.get("key") is not None


def _check_error_path(task: WorkerTask, report: Report, errors: Mapping[str, str]) -> None:
    given = task.settings.get("errorCode")
    code = task.value("errorCode").strip() or BackendRefused.code
    caught = frozenset(caught_errors(task.node, errors))
    if given is not None and given.value.strip() and not caught & {code, ""}:
        problem = f"raises {code!r}, which nothing in its process catches: it becomes an incident."
        report.add(rules.UNCAUGHT_ERROR_CODE, given.node, problem)
    raised = {code, "", *(kind.code for kind in BackendRefused.__subclasses__())}
    for event in _boundary_events(task.node):
        for each in error_codes(event, errors):
            if each not in raised:
                problem = (
                    f"catches {each!r}, which {task.node.get('id')} never raises; it raises "
                    f"{code!r}."
                )
                report.add(rules.ERROR_NEVER_RAISED, event, problem)


def _check_answer_schema(task: WorkerTask, report: Report) -> None:
    given = task.settings.get("answerSchema")
    if given is not None:
        try:
            parse_answer_schema(given.value)
        except InvalidTask as error:
            report.add(rules.INVALID_SCHEMA, given.node, f"cannot be asked: {error.message}")


def _check_scope(written: str, node: etree._Element, report: Report) -> None:
    try:
        ThreadScope.parse(written)
    except InvalidTask as error:
        report.add(rules.UNKNOWN_SCOPE, node, f"cannot be worked: {error.message}")


def _boundary_events(node: etree._Element) -> list[etree._Element]:
    scope = node.getparent()
    return [
        event
        for event in (() if scope is None else bpmn_children(scope, "boundaryEvent"))
        if event.get("attachedToRef") == node.get("id")
    ]


def _nearest(name: str) -> str:
    """Give the setting that a name is nearly, `""` where it is none."""
    by_letters = {_letters(each): each for each in SETTINGS}
    found = get_close_matches(_letters(name), by_letters, n=1, cutoff=_CLOSE)
    return by_letters[found[0]] if found else ""


def _is_near(text: str, wanted: str) -> bool:
    return bool(get_close_matches(_letters(text), [_letters(wanted)], cutoff=_CLOSE))


def _letters(text: str) -> str:
    return "".join(each for each in text.casefold() if each.isalnum())
