"""What would not run as its author means it is refused, by element and line, all at once."""

import pytest

from dadm.adapters.engines.embedded.models.reading import read_models
from dadm.domain.errors import InvalidModel
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    declared_message,
    definitions,
    end,
    extended,
    flow,
    flows,
    instances,
    job,
    message,
    model,
    node,
    process,
    start,
    task,
    timer,
)


def refusal(document: bytes) -> str:
    with pytest.raises(InvalidModel) as refused:
        read_models({"model.bpmn": document})
    return refused.value.message


def between(middle: str, *more: str, declared: str = "") -> bytes:
    """Put one node called X between start and end."""
    return model(start(), middle, *more, end(), flows("s > X > e"), declared=declared)


def started_by(definition: str) -> bytes:
    return model(node("startEvent", "X", definition), end(), flows("X > e"))


def on_task(*parts: str, attributes: str = "") -> bytes:
    return between(task("X", "".join(parts), attributes=attributes))


SIGNAL = "<bpmn:signalEventDefinition signalRef='sig'/>"
LINK = "<bpmn:linkEventDefinition name='l'/>"
INNER = start("is") + end("ie") + flows("is > ie")

NOT_RUN = [
    # Run silently wrong by the library.
    ("a link event", between(node("intermediateThrowEvent", "X", LINK)), "draw the flow instead"),
    ("a link catch", between(node("intermediateCatchEvent", "X", LINK)), "draw the flow instead"),
    (
        "a condition on a flow that leaves a task",
        model(start(), task("X"), end(), flows("s > X"), flow("X", "e", "${a}")),
        "X_e has a condition but leaves X, which does not decide",
    ),
    (
        "an event sub-process",
        model(
            start(),
            end(),
            flows("s > e"),
            node(
                "subProcess",
                "X",
                node("startEvent", "is", caught()) + end("ie") + flows("is > ie"),
                "triggeredByEvent='true'",
            ),
        ),
        "is an event sub-process",
    ),
    ("a script", between(node("scriptTask", "X", "<bpmn:script>1</bpmn:script>")), "runs a script"),
    # Not run at all.
    ("compensation", between(node("intermediateThrowEvent", "X", "<bpmn:compensateEventDefinition/>")), "compensation"),
    ("a compensating task", on_task(attributes="isForCompensation='true'"), "compensation"),
    ("a transaction", between(node("transaction", "X", INNER)), "use a sub-process"),
    ("an ad-hoc sub-process", between(node("adHocSubProcess", "X", INNER)), "use a sub-process"),
    ("a complex gateway", between(node("complexGateway", "X")), "is not run here"),
    ("an unknown element", between(node("wonder", "X")), "is not run here"),
    ("a message start", started_by(message("m")), "cannot be a bpmn:startEvent here"),
    ("a timer start", started_by(timer("PT1H")), "cannot be a bpmn:startEvent here"),
    ("a signal start", started_by(SIGNAL), "signal"),
    ("a signal catch", between(node("intermediateCatchEvent", "X", SIGNAL)), "signal"),
    ("a signal throw", between(node("intermediateThrowEvent", "X", SIGNAL)), "signal"),
    ("a signal end", model(start(), end("X", SIGNAL), flows("s > X")), "signal"),
    ("a message throw", between(node("intermediateThrowEvent", "X", message("m"))), "cannot be"),
    ("a message end", model(start(), end("X", message("m")), flows("s > X")), "cannot be"),
    ("an escalation", model(start(), end("X", "<bpmn:escalationEventDefinition/>"), flows("s > X")), "escalation"),
    ("a conditional event", between(node("intermediateCatchEvent", "X", "<bpmn:conditionalEventDefinition/>")), "conditional"),
    ("a cancel end", model(start(), end("X", "<bpmn:cancelEventDefinition/>"), flows("s > X")), "cancel event"),
    ("an error catch in the flow", between(node("intermediateCatchEvent", "X", caught())), "cannot be"),
    ("a loop activity", on_task("<bpmn:standardLoopCharacteristics/>"), "draw the loop with a gateway"),
    ("two triggers", between(node("intermediateCatchEvent", "X", timer("PT1H") + timer("PT2H"))), "several things at once"),
    ("a catch event without trigger", between(node("intermediateCatchEvent", "X")), "does not say what it waits for"),
    ("a parallel event gateway", between(node("eventBasedGateway", "X", attributes="eventGatewayType='Parallel'")), "eventGatewayType='Parallel'"),
    ("an instantiating receive task", between(node("receiveTask", "X", attributes="messageRef='m' instantiate='true'"), declared=declared_message("m")), "instantiate='true'"),
    ("a behaviour of instances", on_task("<bpmn:multiInstanceLoopCharacteristics behavior='One'><bpmn:loopCardinality>1</bpmn:loopCardinality></bpmn:multiInstanceLoopCharacteristics>"), "behavior='One'"),
    ("several tokens", on_task(attributes="startQuantity='2'"), "startQuantity='2'"),
    # Camunda 7 and 8.
    ("an asynchronous continuation before", on_task(attributes="camunda:asyncBefore='true'"), "continues asynchronously"),
    ("an asynchronous continuation after", on_task(attributes="operaton:asyncAfter='true'"), "continues asynchronously"),
    ("a Java class", between(node("serviceTask", "X", attributes="camunda:class='a.B'")), "runs a Java class"),
    ("a Java delegate", between(node("serviceTask", "X", attributes="camunda:delegateExpression='${b}'")), "runs a Java delegate"),
    ("an expression as work", between(node("serviceTask", "X", attributes="camunda:expression='${b}'")), "evaluates an expression as its work"),
    ("a decision table", between(node("businessRuleTask", "X", attributes="camunda:decisionRef='d'")), "decision table"),
    ("an unknown attribute", on_task(attributes="camunda:wonder='1'"), "camunda:wonder, which is not known here"),
    ("an unknown plain attribute", on_task(attributes="wonder='1'"), "attribute wonder, which is not known here"),
    ("an unknown attribute of Camunda 8", on_task(attributes="zeebe:wonder='1'"), "zeebe:wonder"),
    ("an execution listener", on_task(extended("<camunda:executionListener class='a.B' event='start'/>")), "execution listener"),
    ("a task listener", between(node("userTask", "X", extended("<camunda:taskListener class='a.B' event='create'/>"))), "task listener"),
    ("a connector", on_task(extended("<camunda:connector/>")), "calls a connector"),
    ("a listener of Camunda 8", between(job("X", extensions="<zeebe:executionListeners><zeebe:executionListener eventType='start' type='x'/></zeebe:executionListeners>")), "execution listeners"),
    ("an unknown extension", between(job("X", extensions="<zeebe:wonder/>")), "zeebe:wonder, which is not known"),
    ("a script in a mapping", on_task(extended("<camunda:inputOutput><camunda:inputParameter name='a'><camunda:script scriptFormat='js'>1</camunda:script></camunda:inputParameter></camunda:inputOutput>")), "is a script"),
    ("a mapping on a gateway", between(node("exclusiveGateway", "X", extended("<camunda:inputOutput/>"))), "has no effect here"),
    ("both worlds at once", between(node("serviceTask", "X", extended("<zeebe:taskDefinition type='a'/>"), "camunda:type='external' camunda:topic='a'")), "take one"),
    ("a service task without worker", between(node("serviceTask", "X")), "has no worker"),
    ("a topic that is computed", on_task(attributes="").replace(b"camunda:topic='X'", b"camunda:topic='${x}'"), "computes its topic"),
    ("a task without topic", on_task().replace(b"camunda:topic='X'", b"camunda:topic=''"), "has no topic"),
    ("retries that are no number", between(job("X", retries="many")), "write a whole number"),
    ("no retries at all", between(job("X", retries="0")), "from 1 to 999"),
    ("a version binding", between(node("callActivity", "X", attributes="calledElement='c' camunda:calledElementBinding='deployment'")), "the latest version is always called"),
    ("a call of nothing", between(node("callActivity", "X")), "does not say which process"),
    ("a call of a case", between(node("callActivity", "X", attributes="camunda:caseRef='c'")), "calls a case"),
    ("local variables handed on", between(node("callActivity", "X", extended("<camunda:in variables='all' local='true'/>"), "calledElement='c'")), "local variables only"),
    ("a half mapping", between(node("callActivity", "X", extended("<camunda:in source='a'/>"), "calledElement='c'")), "must name a target"),
    # Structure.
    ("no start", model(end(), task("X"), flows("X > e")), "has 0 start events"),
    ("two starts", model(start(), start("s2"), end(), flows("s > e", "s2 > e")), "has 2 start events"),
    ("a sub-process without start", between(node("subProcess", "X", end("ie"))), "has 0 start events"),
    ("a dead node", model(start(), end(), task("X"), flows("s > e")), "X is never reached"),
    ("a flow to nowhere", model(start(), end(), flows("s > e"), flow("s", "X")), "something that is not there"),
    ("a flow into a sub-process", model(start(), node("subProcess", "X", INNER), end(), flows("s > X > e", "s > ie")), "crosses the border"),
    ("a flow out of an end", model(start(), end(), end("X"), flows("s > e > X")), "a flow leaves it"),
    ("a flow into a start", model(start(), task("X"), end(), flows("s > X > e", "X > s")), "must not"),
    ("a gateway without conditions", model(start(), node("exclusiveGateway", "X"), end(), end("e2"), flows("s > X > e", "X > e2")), "is not the default flow"),
    ("a default that leaves elsewhere", model(start(), node("exclusiveGateway", "X", attributes="default='s_X'"), end(), flows("s > X > e")), "does not leave it"),
    ("a default on a task", on_task(attributes="default='X_e'"), "does not decide"),
    ("a condition that is text", model(start(), node("exclusiveGateway", "X"), end(), flows("s > X"), flow("X", "e", "true")), "plain text"),
    ("a condition in another language", between(node("exclusiveGateway", "X")).replace(b"</bpmn:process>", b"<bpmn:endEvent id='e3'/><bpmn:sequenceFlow id='g' sourceRef='X' targetRef='e3'><bpmn:conditionExpression language='groovy'>${x}</bpmn:conditionExpression></bpmn:sequenceFlow></bpmn:process>"), "'groovy'"),
    ("two flows into a join from one node", model(start(), node("parallelGateway", "f"), node("parallelGateway", "X"), end(), flows("s > f > X > e"), flow("f", "X", flow_id="again")), "by two flows at once"),
    ("a boundary on a gateway", model(start(), node("exclusiveGateway", "X"), boundary("b", "X", timer("PT1H")), end(), flows("s > X > e", "b > e")), "not attached to an activity"),
    ("a boundary on nothing", model(start(), boundary("X", "nothing", timer("PT1H")), end(), flows("s > e", "X > e")), "not attached to an activity"),
    ("an error that does not interrupt", model(start(), task("A"), boundary("X", "A", caught(), interrupting=False), end(), flows("s > A > e", "X > e")), "without interrupting"),
    ("an interrupting cycle", model(start(), task("A"), boundary("X", "A", timer("R3/PT1H", "timeCycle")), end(), flows("s > A > e", "X > e")), "interrupts the first time"),
    ("a cycle in the flow", between(node("intermediateCatchEvent", "X", timer("R3/PT1H", "timeCycle"))), "only a non-interrupting"),
    ("a task behind an event gateway", model(start(), node("eventBasedGateway", "g"), task("X"), end(), flows("s > g > X > e")), "must lead to an intermediate catch event"),
    ("an event gateway's event reached twice", model(start(), node("parallelGateway", "f"), node("eventBasedGateway", "g"), node("intermediateCatchEvent", "X", timer("PT1H")), end(), flows("s > f > g > X > e", "f > X")), "something else as well"),
    ("inputs of an event", between(node("intermediateCatchEvent", "X", extended("<camunda:inputOutput><camunda:inputParameter name='a'>1</camunda:inputParameter></camunda:inputOutput>") + timer("PT1H"))), "an event does not do"),
    # Values.
    ("a duration that is none", between(node("intermediateCatchEvent", "X", timer("5 minutes"))), "is no duration such as PT5M"),
    ("a date that is none", between(node("intermediateCatchEvent", "X", timer("tomorrow", "timeDate"))), "is no date"),
    ("a cron expression", model(start(), task("A"), boundary("X", "A", timer("0 0 9 * * ?", "timeCycle"), interrupting=False), end(), flows("s > A > e", "X > e")), "is no repeated duration"),
    ("a timer without time", between(node("intermediateCatchEvent", "X", "<bpmn:timerEventDefinition/>")), "must have one of"),
    ("an undeclared message", between(node("intermediateCatchEvent", "X", message("m"))), "which is not declared"),
    ("a message without reference", between(node("receiveTask", "X")), "does not say which message"),
    ("a computed message name", between(node("receiveTask", "X", attributes="messageRef='m'"), declared="<bpmn:message id='m' name='${x}'/>"), "computes its message name"),
    ("an undeclared error", model(start(), end("X", caught("err")), flows("s > X")), "which is not declared"),
    ("an error without code", model(start(), end("X", caught("err")), flows("s > X"), declared="<bpmn:error id='err'/>"), "without a code"),
    ("a computed error code", model(start(), end("X", caught("err")), flows("s > X"), declared="<bpmn:error id='err' errorCode='=c'/>"), "computes its error code"),
    ("instances of nothing", on_task("<bpmn:multiInstanceLoopCharacteristics/>"), "either a collection or a loopCardinality"),
    ("instances of two things", on_task(instances(collection="a", element="b", count="3")), "either a collection or a loopCardinality"),
    ("an output collection without element", between(job("X", "<bpmn:multiInstanceLoopCharacteristics>" + extended("<zeebe:loopCharacteristics inputCollection='=a' outputCollection='b'/>") + "</bpmn:multiInstanceLoopCharacteristics>")), "both an outputCollection and an outputElement"),
    ("an expression that cannot be read", on_task(attributes="camunda:taskPriority='${1 +}'"), "cannot be read"),
    ("an expression that never ends", on_task(attributes="camunda:taskPriority='${1'"), "no closing brace"),
    # Ids.
    ("a node without id", model(start(), "<bpmn:userTask/>", end(), flows("s > e")), "has no id"),
    ("an id with a space", model(start(), node("userTask", "X Y"), end(), flows("s > e")), "has the id 'X Y'"),
    ("an id used twice", model(start(), node("userTask", "X"), node("userTask", "X"), end(), flows("s > X > e")), "is taken already"),
    ("nothing executable", definitions("<bpmn:process id='X' isExecutable='false'/>"), "no process that is executable"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "reason"),
    [pytest.param(document, reason, id=name) for name, document, reason in NOT_RUN],
)
def test_it_is_refused(document: bytes, reason: str) -> None:
    assert reason in refusal(document)


def test_a_refusal_names_file_line_and_element() -> None:
    text = refusal(between("\n\n" + node("scriptTask", "Compute")))

    assert "model.bpmn, line 7: bpmn:scriptTask Compute runs a script" in text


def test_all_that_is_wrong_in_all_files_is_said_at_once_by_line() -> None:
    broken = model(start(), node("scriptTask", "A"), node("complexGateway", "B"), end())
    with pytest.raises(InvalidModel) as refused:
        read_models({"one.bpmn": broken, "two.bpmn": broken})

    lines = refused.value.message.splitlines()[1:]
    assert len(lines) == len(set(lines)) == 8
    assert [line.split(",")[0] for line in lines] == ["one.bpmn"] * 4 + ["two.bpmn"] * 4
    assert [line.split(":")[0] for line in lines[:4]] == [
        f"one.bpmn, line {number}" for number in (4, 5, 6, 7)
    ]


ALLOWED = [
    ("forms, people and history", between(node("userTask", "X", extended("<camunda:formData/>"), "camunda:assignee='demo' camunda:formKey='f' camunda:dueDate='${d}'"))),
    ("false continuations", on_task(attributes="camunda:asyncBefore='false' camunda:exclusive='false'")),
    ("drawn data and notes", model(start(), task("X", "<bpmn:property id='pr' name='p'/><bpmn:dataInputAssociation id='da'><bpmn:sourceRef>d</bpmn:sourceRef><bpmn:targetRef>pr</bpmn:targetRef></bpmn:dataInputAssociation>"), end(), flows("s > X > e"), "<bpmn:dataObjectReference id='d' dataObjectRef='o'/><bpmn:dataObject id='o'/><bpmn:textAnnotation id='n'/><bpmn:association id='as' sourceRef='n' targetRef='X'/>")),
    ("lanes and pools", definitions("<bpmn:collaboration id='c'><bpmn:participant id='pa' processRef='p'/></bpmn:collaboration>", process("<bpmn:laneSet id='ls'><bpmn:lane id='l'><bpmn:flowNodeRef>s</bpmn:flowNodeRef></bpmn:lane></bpmn:laneSet>", start(), end(), flows("s > e")), "<bpmn:process id='foreign' isExecutable='false'><bpmn:scriptTask id='z'/></bpmn:process>")),
    ("declarations that nothing uses", model(start(), end(), flows("s > e"), declared="<bpmn:signal id='sig' name='x'/><bpmn:escalation id='esc'/>")),
    ("a foreign extension", on_task(extended("<x:y xmlns:x='urn:x'/>"), attributes="xmlns:x='urn:x' x:z='1'")),
    ("the listener for the end of instances", between(job("X")).replace(b"<bpmn:startEvent", extended("<zeebe:executionListeners><zeebe:executionListener eventType='end' type='dadm.process-ended'/></zeebe:executionListeners>").encode() + b"<bpmn:startEvent", 1)),
    ("a subscription of Camunda 8", between(node("receiveTask", "X", attributes="messageRef='m'"), declared="<bpmn:message id='m' name='m'>" + extended("<zeebe:subscription correlationKey='=k'/>") + "</bpmn:message>")),
    ("the namespace of Operaton", between(node("serviceTask", "X", extended("<operaton:properties><operaton:property name='a' value='b'/></operaton:properties>"), "operaton:type='external' operaton:topic='t'"))),
]  # fmt: skip


@pytest.mark.parametrize(
    "document", [pytest.param(document, id=name) for name, document in ALLOWED]
)
def test_it_is_accepted(document: bytes) -> None:
    (read,) = read_models({"model.bpmn": document})

    assert read.model.key == "p"
