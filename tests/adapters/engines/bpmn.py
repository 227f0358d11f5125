"""Short ways to write BPMN in tests."""

import itertools

_NAMESPACES = (
    'xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" '
    'xmlns:camunda="http://camunda.org/schema/1.0/bpmn" '
    'xmlns:operaton="http://operaton.org/schema/1.0/bpmn" '
    'xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'targetNamespace="urn:test"'
)


def definitions(*parts: str) -> bytes:
    """Wrap processes and declarations into a file."""
    inner = "\n".join(parts)
    return f"<bpmn:definitions {_NAMESPACES} id='file'>\n{inner}\n</bpmn:definitions>".encode()


def process(*parts: str, key: str = "p", attributes: str = "") -> str:
    """Wrap nodes and flows into a process."""
    inner = "\n".join(parts)
    return f"<bpmn:process id='{key}' isExecutable='true' {attributes}>\n{inner}\n</bpmn:process>"


def model(*parts: str, key: str = "p", declared: str = "") -> bytes:
    """Write a file with one process."""
    return definitions(declared, process(*parts, key=key))


def node(tag: str, element_id: str, inner: str = "", attributes: str = "") -> str:
    """Write any flow node."""
    return f"<bpmn:{tag} id='{element_id}' {attributes}>{inner}</bpmn:{tag}>"


def start(element_id: str = "s") -> str:
    return node("startEvent", element_id)


def end(element_id: str = "e", inner: str = "") -> str:
    return node("endEvent", element_id, inner)


def task(element_id: str, inner: str = "", *, topic: str = "", attributes: str = "") -> str:
    """Write a service task for a worker of Camunda 7; its topic is its id unless given."""
    given = f"camunda:type='external' camunda:topic='{topic or element_id}' {attributes}"
    return node("serviceTask", element_id, inner, given)


def job(
    element_id: str, inner: str = "", *, job_type: str = "", extensions: str = "", retries: str = ""
) -> str:
    """Write a service task for a job worker of Camunda 8."""
    count = f"retries='{retries}'" if retries else ""
    definition = f"<zeebe:taskDefinition type='{job_type or element_id}' {count}/>"
    return node("serviceTask", element_id, extended(definition + extensions) + inner)


def extended(inner: str) -> str:
    return f"<bpmn:extensionElements>{inner}</bpmn:extensionElements>"


def properties(**named: str) -> str:
    """Write camunda:properties; `__` in a name stands for a dot."""
    written = "".join(
        f"<camunda:property name='{name.replace('__', '.')}' value='{value}'/>"
        for name, value in named.items()
    )
    return f"<camunda:properties>{written}</camunda:properties>"


def mapping(inputs: dict[str, str] | None = None, outputs: dict[str, str] | None = None) -> str:
    """Write a mapping of Camunda 7."""
    written = "".join(
        f"<camunda:{tag} name='{name}'>{value}</camunda:{tag}>"
        for tag, named in (("inputParameter", inputs), ("outputParameter", outputs))
        for name, value in (named or {}).items()
    )
    return f"<camunda:inputOutput>{written}</camunda:inputOutput>"


def flows(*chains: str) -> str:
    """Write flows from chains such as `s > A > e`; a flow's id is `s_A`."""
    written = []
    for chain in chains:
        names = [name.strip() for name in chain.split(">")]
        written += [flow(a, b) for a, b in itertools.pairwise(names)]
    return "\n".join(written)


def flow(source: str, target: str, condition: str = "", *, flow_id: str = "") -> str:
    given = flow_id or f"{source}_{target}"
    escaped = condition.replace("&", "&amp;").replace("<", "&lt;")
    inner = f"<bpmn:conditionExpression>{escaped}</bpmn:conditionExpression>" if condition else ""
    return (
        f"<bpmn:sequenceFlow id='{given}' sourceRef='{source}' targetRef='{target}'>"
        f"{inner}</bpmn:sequenceFlow>"
    )


def timer(text: str, kind: str = "timeDuration") -> str:
    return (
        f"<bpmn:timerEventDefinition><bpmn:{kind}>{text}</bpmn:{kind}></bpmn:timerEventDefinition>"
    )


def boundary(
    element_id: str, host: str, definition: str, *, interrupting: bool = True, inner: str = ""
) -> str:
    given = f"attachedToRef='{host}' cancelActivity='{str(interrupting).lower()}'"
    return node("boundaryEvent", element_id, inner + definition, given)


def caught(error: str = "", attributes: str = "") -> str:
    """Catch a declared error, or any."""
    reference = f"errorRef='{error}'" if error else ""
    return f"<bpmn:errorEventDefinition {reference} {attributes}/>"


def message(reference: str) -> str:
    return f"<bpmn:messageEventDefinition messageRef='{reference}'/>"


def error(code: str) -> str:
    """Declare an error whose id is its code in lower case."""
    return f"<bpmn:error id='{code.lower()}' errorCode='{code}'/>"


def declared_message(name: str) -> str:
    return f"<bpmn:message id='{name}' name='{name}'/>"


def instances(
    *,
    collection: str = "",
    element: str = "",
    count: str = "",
    sequential: bool = False,
    until: str = "",
) -> str:
    """Write the loop of a multi-instance activity of Camunda 7."""
    over = f"camunda:collection='{collection}' camunda:elementVariable='{element}'"
    cardinality = f"<bpmn:loopCardinality>{count}</bpmn:loopCardinality>" if count else ""
    condition = f"<bpmn:completionCondition>{until}</bpmn:completionCondition>" if until else ""
    return (
        f"<bpmn:multiInstanceLoopCharacteristics isSequential='{str(sequential).lower()}' "
        f"{over if collection else ''}>{cardinality}{condition}"
        "</bpmn:multiInstanceLoopCharacteristics>"
    )
