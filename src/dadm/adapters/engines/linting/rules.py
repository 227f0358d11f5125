"""The rules that models are linted by: what each finds, an example, and the remedy."""

from dataclasses import dataclass

from dadm.ports.model_findings import EngineKind, Severity

CAMUNDA_7_ONLY = frozenset({EngineKind.CAMUNDA_7})
CAMUNDA_8_ONLY = frozenset({EngineKind.CAMUNDA_8})
CAMUNDA = CAMUNDA_7_ONLY | CAMUNDA_8_ONLY
EVERY_ENGINE = frozenset(EngineKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A kind of finding. `example` is XML in which it is found, `declared` what stands before it.

    The example is what a process holds; where `is_whole` is set it is a whole file.
    """

    code: str
    severity: Severity
    means: str
    example: str
    remedy: str
    engines: frozenset[EngineKind] = EVERY_ENGINE
    declared: str = ""
    is_whole: bool = False


def _task(properties: str = "", prompt: str = "Say why.", more: str = "") -> str:
    """Write an AI task for Camunda 7 as the examples need it."""
    documentation = f"  <bpmn:documentation>{prompt}</bpmn:documentation>\n" if prompt else ""
    marked = '<camunda:property name="service.type" value="assistant" />'
    listed = "".join(f"\n    {each}" for each in (marked, *properties.splitlines()))
    return (
        '<bpmn:serviceTask id="Explain" camunda:type="external" camunda:topic="Explain">\n'
        f"{documentation}"
        f"  <bpmn:extensionElements><camunda:properties>{listed}\n"
        "  </camunda:properties></bpmn:extensionElements>\n"
        f"</bpmn:serviceTask>{more}"
    )


def _job(headers: str, *, job_type: str = "dadm.assistant", documentation: str = "") -> str:
    """Write an AI task for Camunda 8 as the examples need it."""
    listed = "".join(f"\n      {each}" for each in headers.splitlines())
    said = f"  <bpmn:documentation>{documentation}</bpmn:documentation>\n" if documentation else ""
    return (
        f'<bpmn:serviceTask id="Explain" name="Explain">\n{said}  <bpmn:extensionElements>\n'
        f'    <zeebe:taskDefinition type="{job_type}" />\n'
        f"    <zeebe:taskHeaders>{listed}\n    </zeebe:taskHeaders>\n"
        "  </bpmn:extensionElements>\n</bpmn:serviceTask>"
    )


def _property(name: str, value: str) -> str:
    return f'<camunda:property name="{name}" value="{value}" />'


def _header(key: str, value: str) -> str:
    return f'<zeebe:header key="{key}" value="{value}" />'


_PROMPT = _header("prompt", "Say why.")

NOT_XML = Rule(
    code="not_xml",
    severity=Severity.ERROR,
    means="The file is no well-formed XML, declares a document type, or is far too large.",
    example='<bpmn:process id="p">\n  <bpmn:task id="t">\n</bpmn:process>',
    remedy="Open and save it with a modeler, or mend the line by hand.",
    is_whole=True,
)
NOT_BPMN = Rule(
    code="not_bpmn",
    severity=Severity.ERROR,
    means="The file is XML, but not BPMN 2.0 (perhaps a decision table or a form).",
    example='<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" />',
    remedy="Give the file with the process. Its root is `bpmn:definitions`.",
    is_whole=True,
)
NO_PROCESS = Rule(
    code="no_executable_process",
    severity=Severity.ERROR,
    means="No process of the file is marked as executable, so no engine starts one.",
    example=(
        '<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL">\n'
        '  <bpmn:process id="p" isExecutable="false" />\n</bpmn:definitions>'
    ),
    remedy='Set `isExecutable="true"` on the process ("Executable" in the Modeler).',
    is_whole=True,
)
NOT_RUN_EMBEDDED = Rule(
    code="not_run_embedded",
    severity=Severity.ERROR,
    means="The embedded engine would not run this as it is drawn, and refuses to deploy it.",
    example='<bpmn:scriptTask id="Compute"><bpmn:script>1 + 1</bpmn:script></bpmn:scriptTask>',
    remedy="The message says what to draw instead; [what runs](bpmn_support.md) has the list.",
    engines=frozenset({EngineKind.EMBEDDED}),
)
NO_WORKER = Rule(
    code="no_worker",
    severity=Severity.ERROR,
    means="Nothing says what does a service task: for this engine it has neither a topic (or job "
    "type) nor another implementation, so the engine refuses the model.",
    example='<bpmn:serviceTask id="Explain" name="Explain" />',
    remedy='Apply the template "AI task", or set `camunda:type="external"` and a topic; for '
    "Camunda 8 a `zeebe:taskDefinition`.",
    engines=CAMUNDA,
)
MISSING_TOPIC = Rule(
    code="missing_topic",
    severity=Severity.ERROR,
    means="A task for workers has an empty topic or job type.",
    example='<bpmn:serviceTask id="Explain" camunda:type="external" camunda:topic="" />',
    remedy="Give it a topic; the task's own id is a good one.",
    engines=CAMUNDA,
)
COMPUTED_TOPIC = Rule(
    code="computed_topic",
    severity=Severity.WARNING,
    means="An AI task computes its topic or job type. Nobody can know beforehand what it will be.",
    example=_task().replace('topic="Explain"', 'topic="${topic}"'),
    remedy="Write it out, or list what it may be in `DADM_ENGINE__TOPICS`.",
    engines=CAMUNDA,
)
SHARED_TOPIC = Rule(
    code="shared_topic",
    severity=Severity.ERROR,
    means="An AI task has its topic in common with a task of others in the same process. Tasks are "
    "handed out by topic, so DADM leaves both alone.",
    example=_task(
        more='\n<bpmn:serviceTask id="Print" camunda:type="external" camunda:topic="Explain" />'
    ),
    remedy="Give the AI task a topic of its own.",
)
TOPIC_ELSEWHERE = Rule(
    code="topic_elsewhere",
    severity=Severity.WARNING,
    means="An AI task has its topic in common with a task of others in another process. Workers "
    "who ask for the topic without naming their process take this task away, and in Camunda 8 "
    "nobody can name a process.",
    example=_task(
        more="\n</bpmn:process>\n"
        '<bpmn:process id="printing" isExecutable="true" camunda:historyTimeToLive="180">\n'
        '<bpmn:serviceTask id="Print" camunda:type="external" camunda:topic="Explain" />'
    ),
    remedy="Give the AI task a topic of its own.",
)
NO_TIME_TO_LIVE = Rule(
    code="missing_history_time_to_live",
    severity=Severity.ERROR,
    means="Camunda 7 and Operaton refuse a process that does not say how long its history is "
    "kept, unless the engine has a default.",
    example=(
        '<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL">\n'
        '  <bpmn:process id="p" isExecutable="true" />\n</bpmn:definitions>'
    ),
    is_whole=True,
    remedy='Set `camunda:historyTimeToLive="180"` (days) on the process ("History cleanup" in '
    "the Modeler).",
    engines=CAMUNDA_7_ONLY,
)
EMPTY_HEADER = Rule(
    code="empty_header",
    severity=Severity.WARNING,
    means="A task header has no value. The engine leaves it out, as if it were not there.",
    example=_job(f"{_PROMPT}\n{_header('assistant', '')}"),
    remedy="Give it a value, or take it away.",
    engines=CAMUNDA_8_ONLY,
)
HEADER_EXPRESSION = Rule(
    code="header_is_not_evaluated",
    severity=Severity.WARNING,
    means="A header that DADM reads begins with `=`. Headers are never evaluated: it stays as it is.",
    example=_job(_header("prompt", "=&quot;Say why.&quot;")),
    remedy="Write the value out. In a prompt, `${name}` is filled with a variable.",
    engines=CAMUNDA_8_ONLY,
)
NOT_A_HEADER = Rule(
    code="property_is_not_sent",
    severity=Severity.ERROR,
    means="A setting of an AI task stands among the extension properties, which Camunda 8 does not "
    "give to workers.",
    example=_job(_PROMPT).replace(
        "    <zeebe:taskHeaders>",
        '    <zeebe:properties>\n      <zeebe:property name="assistant" '
        'value="decision-analyst" />\n    </zeebe:properties>\n    <zeebe:taskHeaders>',
    ),
    remedy="Make it a task header of the same name.",
    engines=CAMUNDA_8_ONLY,
)
PROMPT_NOT_SENT = Rule(
    code="prompt_is_not_sent",
    severity=Severity.WARNING,
    means="The prompt stands in the documentation alone. Camunda 8 gives that to nobody before "
    "8.8; there only the task's name is asked.",
    example=_job(_header("assistant", "decision-analyst"), documentation="Say why."),
    remedy="Write the prompt into a task header `prompt`.",
    engines=CAMUNDA_8_ONLY,
)
MISSPELT_TYPE = Rule(
    code="misspelt_service_type",
    severity=Severity.ERROR,
    means="`service.type` is nearly `assistant`, or the name is nearly `service.type`. As it "
    "stands this is no AI task, and waits for ever.",
    example=_task().replace('value="assistant"', 'value="Assistant"'),
    remedy="Write `service.type` and `assistant`, in small letters, without spaces.",
)
MISSPELT_SETTING = Rule(
    code="misspelt_setting",
    severity=Severity.WARNING,
    means="A setting of an AI task is nearly one that DADM reads, and is ignored as it stands.",
    example=_task(_property("result_variable", "reason")),
    remedy="Write its name as the message says.",
)
MISSING_PROMPT = Rule(
    code="missing_prompt",
    severity=Severity.ERROR,
    means="An AI task has neither a prompt nor a name: there is nothing to ask, and its first "
    "instance ends in an incident.",
    example=_task(prompt=""),
    remedy="Write the prompt into the task's documentation, or into its setting `prompt`.",
)
PROMPT_IS_NAME = Rule(
    code="prompt_is_the_name",
    severity=Severity.WARNING,
    means="An AI task has no prompt, so its name is all that the assistant is asked.",
    example=_task(prompt="").replace('id="Explain"', 'id="Explain" name="Explain it"'),
    remedy="Write the prompt into the task's documentation, or into its setting `prompt`.",
)
DOUBTFUL_PLACEHOLDER = Rule(
    code="doubtful_placeholder",
    severity=Severity.WARNING,
    means="A placeholder of a prompt is neither a variable's name nor a path into one. Prompts are "
    "filled, not computed: the task ends in an incident.",
    example=_task(prompt="Is ${budget * 2} too much?"),
    remedy="Compute the value before, in an input mapping or a condition, and name its variable.",
)
UNKNOWN_ASSISTANT = Rule(
    code="unknown_assistant",
    severity=Severity.ERROR,
    means="No assistant has that name or alias: the task ends in an incident.",
    example=_task(_property("assistant", "decision-analist")),
    remedy="Correct the name, or add the assistant's file. `DADM_ASSISTANTS` (or `--assistants`) "
    "says where the files are; without it, the two that ship are known.",
)
UNKNOWN_SERVICE_NAME = Rule(
    code="unknown_service_name",
    severity=Severity.WARNING,
    means="`service.name` is no assistant's name or alias. It is ignored, and the default answers.",
    example=_task(_property("service.name", "our-assistant")),
    remedy="Name the assistant with `assistant`, or add the name to its aliases.",
)
UNCAUGHT_ERROR_CODE = Rule(
    code="uncaught_error_code",
    severity=Severity.WARNING,
    means="A task names the error code of its refusals, but nothing in its process catches it: "
    "a refusal becomes an incident. A caller that catches it in another file is not seen.",
    example=_task(_property("errorCode", "REFUSED")),
    remedy="Attach an error boundary event with that code, or take `errorCode` away.",
)
ERROR_NEVER_RAISED = Rule(
    code="error_never_raised",
    severity=Severity.WARNING,
    means="An error boundary event at an AI task catches a code that the task never raises. It "
    "raises `backend_refused`, or its `errorCode`, and `answer_cut_short` where that is caught.",
    declared='<bpmn:error id="Refused" errorCode="REFUSED" />',
    example=_task(
        more='\n<bpmn:boundaryEvent id="Caught" attachedToRef="Explain">\n'
        '  <bpmn:errorEventDefinition errorRef="Refused" />\n</bpmn:boundaryEvent>'
    ),
    remedy="Set `errorCode` of the task to the code, or catch the one it raises.",
)
SAME_RESULT = Rule(
    code="same_result_variable",
    severity=Severity.WARNING,
    means="Two AI tasks of a process write their answers to one `resultVariable`, and both may run "
    "in one instance: the later answer replaces the earlier one. Tasks on two ways out of one "
    "decision are no such pair.",
    example=_task(_property("resultVariable", "reason"))
    + "\n"
    + _task(_property("resultVariable", "reason")).replace('"Explain"', '"Again"')
    + '\n<bpmn:sequenceFlow id="ToAgain" sourceRef="Explain" targetRef="Again" />',
    remedy="Give each its own name. `<task id>_result` holds each answer anyway.",
)

INVALID_SCHEMA = Rule(
    code="invalid_answer_schema",
    severity=Severity.ERROR,
    means="`answerSchema` is no JSON object, so that the task ends in an incident.",
    example=_task(_property("answerSchema", "{'type': 'object'}")),
    remedy="Write a JSON Schema: an object, with names and texts in double quotes.",
)

UNKNOWN_SCOPE = Rule(
    code="unknown_scope",
    severity=Severity.ERROR,
    means="`thread.scope` of a task or a process names no scope, so that tasks end in incidents.",
    example=_task(_property("thread.scope", "root")),
    remedy="Write one of the [scopes](thread_scope.md), or take it away: then all tasks of a "
    "process instance share a thread with each assistant.",
)
SCOPE_NOT_SENT = Rule(
    code="scope_is_not_sent",
    severity=Severity.WARNING,
    means="A process sets `thread.scope` for its tasks. Camunda 8 gives that to nobody before 8.8, "
    "nor without secondary storage; there the tasks share the thread of their process instance.",
    example=(
        "<bpmn:extensionElements>\n  <zeebe:properties>\n"
        '    <zeebe:property name="thread.scope" value="element" />\n'
        "  </zeebe:properties>\n</bpmn:extensionElements>\n" + _job(_PROMPT)
    ),
    remedy="Write it into a task header `thread.scope` of each task.",
    engines=CAMUNDA_8_ONLY,
)

RULES = (
    *(NOT_XML, NOT_BPMN, NO_PROCESS, NOT_RUN_EMBEDDED),
    *(NO_WORKER, MISSING_TOPIC, COMPUTED_TOPIC, SHARED_TOPIC, TOPIC_ELSEWHERE),
    *(MISSPELT_TYPE, MISSPELT_SETTING, MISSING_PROMPT, PROMPT_IS_NAME, DOUBTFUL_PLACEHOLDER),
    *(UNKNOWN_ASSISTANT, UNKNOWN_SERVICE_NAME, UNCAUGHT_ERROR_CODE, ERROR_NEVER_RAISED),
    *(
        SAME_RESULT,
        INVALID_SCHEMA,
        UNKNOWN_SCOPE,
        NO_TIME_TO_LIVE,
        EMPTY_HEADER,
        HEADER_EXPRESSION,
        NOT_A_HEADER,
        PROMPT_NOT_SENT,
        SCOPE_NOT_SENT,
    ),
)
"""All rules, in the order of the reference."""
