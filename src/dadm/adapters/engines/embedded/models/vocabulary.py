"""The words of BPMN and its extensions that run here as their authors mean them."""

from collections.abc import Mapping

_COMMON = frozenset({"id", "name"})
_ACTIVITY = frozenset({"default", "isForCompensation", "startQuantity", "completionQuantity"})
_TASK = _ACTIVITY | {"implementation", "operationRef"}
_GATEWAY = frozenset({"gatewayDirection", "default"})

NODE_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "startEvent": frozenset({"isInterrupting", "parallelMultiple"}),
    "endEvent": frozenset(),
    "task": _ACTIVITY,
    "manualTask": _ACTIVITY,
    "serviceTask": _TASK,
    "sendTask": _TASK | {"messageRef"},
    "businessRuleTask": _TASK,
    "userTask": _TASK,
    "receiveTask": _TASK | {"messageRef", "instantiate"},
    "callActivity": _ACTIVITY | {"calledElement"},
    "subProcess": _ACTIVITY | {"triggeredByEvent"},
    "exclusiveGateway": _GATEWAY,
    "parallelGateway": _GATEWAY,
    "inclusiveGateway": _GATEWAY,
    "eventBasedGateway": _GATEWAY | {"instantiate", "eventGatewayType"},
    "intermediateCatchEvent": frozenset({"parallelMultiple"}),
    "intermediateThrowEvent": frozenset(),
    "boundaryEvent": frozenset({"attachedToRef", "cancelActivity", "parallelMultiple"}),
}
"""The flow nodes that run here, and the attributes each may have beside id and name."""

ONLY_VALUE: Mapping[str, frozenset[str]] = {
    "isForCompensation": frozenset({"false"}),
    "startQuantity": frozenset({"1"}),
    "completionQuantity": frozenset({"1"}),
    "instantiate": frozenset({"false"}),
    "triggeredByEvent": frozenset({"false"}),
    "parallelMultiple": frozenset({"false"}),
    "eventGatewayType": frozenset({"Exclusive"}),
    "behavior": frozenset({"All"}),
}
"""Attributes that may be written out, but only with the value they have anyway."""

WHY_NOT: Mapping[str, str] = {
    "scriptTask": "runs a script, and models do not bring code here; use an external service task",
    "complexGateway": "is not run here",
    "transaction": "is not run here; use a sub-process",
    "adHocSubProcess": "is not run here; use a sub-process",
    "linkEventDefinition": "is a link event, which is not run here; draw the flow instead",
    "signalEventDefinition": "waits for or sends a signal, which is not run here; use a message",
    "escalationEventDefinition": "is an escalation event, which is not run here; use an error",
    "compensateEventDefinition": "is a compensation event, which is not run here",
    "conditionalEventDefinition": "is a conditional event, which is not run here",
    "cancelEventDefinition": "is a cancel event, which is not run here",
    "standardLoopCharacteristics": "is a loop activity; draw the loop with a gateway",
    "isForCompensation": "is for compensation, which is not run here",
    "triggeredByEvent": "is an event sub-process, which is not run here; use a boundary event",
    "asyncBefore": "continues asynchronously, which is not done here; take asyncBefore away",
    "asyncAfter": "continues asynchronously, which is not done here; take asyncAfter away",
    "async": "continues asynchronously, which is not done here; take async away",
    "executionListener": "has an execution listener, which would not be called here",
    "executionListeners": "has execution listeners, which would not be called here",
    "taskListener": "has a task listener, which would not be called here",
    "taskListeners": "has task listeners, which would not be called here",
    "connector": "calls a connector, which does not exist here; use an external task",
    "class": "runs a Java class; give it type external and a topic",
    "delegateExpression": "runs a Java delegate; give it type external and a topic",
    "expression": "evaluates an expression as its work; give it type external and a topic",
    "calledElementVersion": "binds a version; the latest version is always called here",
    "calledElementVersionTag": "binds a version tag; the latest version is always called here",
    "caseRef": "calls a case, which is not run here",
    "decisionRef": "calls a decision table, which is not run here; use an external task",
    "calledDecision": "calls a decision, which is not run here; use a job worker",
    "script": "runs a script, and models do not bring code here",
}
"""What to say of what does not run, beyond that it does not."""

EVENT_DEFINITIONS: Mapping[str, frozenset[str]] = {
    "startEvent": frozenset(),
    "endEvent": frozenset({"terminateEventDefinition", "errorEventDefinition"}),
    "intermediateCatchEvent": frozenset({"timerEventDefinition", "messageEventDefinition"}),
    "intermediateThrowEvent": frozenset(),
    "boundaryEvent": frozenset(
        {"timerEventDefinition", "messageEventDefinition", "errorEventDefinition"}
    ),
}
"""What each event may be."""

# Drawn or declared, without any effect while a process runs.
_NO_EFFECT = frozenset({"documentation", "extensionElements"})
ARTIFACTS = frozenset({"textAnnotation", "association", "group", "laneSet"}) | {
    "dataObject",
    "dataObjectReference",
    "dataStoreReference",
    "ioSpecification",
    "property",
    "auditing",
    "monitoring",
}
INSIDE_NODE = _NO_EFFECT | {
    "incoming",
    "outgoing",
    "ioSpecification",
    "property",
    "dataInputAssociation",
    "dataOutputAssociation",
    "performer",
    "potentialOwner",
    "humanPerformer",
    "rendering",
}
INSIDE_DEFINITIONS = _NO_EFFECT | {
    "process",
    "collaboration",
    "message",
    "error",
    "signal",
    "escalation",
    "itemDefinition",
    "dataStore",
    "category",
    "interface",
    "resource",
}
INSIDE_PROCESS = _NO_EFFECT | ARTIFACTS | {"sequenceFlow"}
INSIDE_EVENT_DEFINITION: Mapping[str, frozenset[str]] = {
    "timerEventDefinition": _NO_EFFECT | {"timeDuration", "timeDate", "timeCycle"},
    "messageEventDefinition": _NO_EFFECT | {"operationRef"},
    "errorEventDefinition": _NO_EFFECT,
    "terminateEventDefinition": _NO_EFFECT,
}
INSIDE_LOOP = _NO_EFFECT | {
    "loopCardinality",
    "loopDataInputRef",
    "inputDataItem",
    "completionCondition",
}
COMMON_ATTRIBUTES = _COMMON

PLATFORM_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "serviceTask": frozenset({"type", "topic", "taskPriority"}),
    "sendTask": frozenset({"type", "topic", "taskPriority"}),
    "businessRuleTask": frozenset({"type", "topic", "taskPriority"}),
    "callActivity": frozenset({"calledElementBinding"}),
    "multiInstanceLoopCharacteristics": frozenset({"collection", "elementVariable"}),
    "errorEventDefinition": frozenset({"errorCodeVariable", "errorMessageVariable"}),
    "process": frozenset({"taskPriority"}),
    "error": frozenset({"errorMessage"}),
}
"""Attributes of the Camunda 7 family that are read."""

PLATFORM_WITHOUT_EFFECT = frozenset(
    {"historyTimeToLive", "versionTag", "candidateStarterUsers", "candidateStarterGroups"}
    | {"isStartableInTasklist", "initiator", "formKey", "formRef", "formRefBinding"}
    | {"formRefVersion", "formHandlerClass", "assignee", "candidateUsers", "candidateGroups"}
    | {"dueDate", "followUpDate", "priority", "jobPriority", "exclusive", "modelerTemplate"}
    | {"modelerTemplateVersion", "modelerTemplateIcon", "diagramRelationId"}
)
"""Attributes of the Camunda 7 family that matter to forms, task lists and histories only."""

PLATFORM_ELEMENTS = frozenset({"properties", "inputOutput", "in", "out"})
PLATFORM_ELEMENTS_WITHOUT_EFFECT = frozenset(
    {"formData", "failedJobRetryTimeCycle", "potentialStarter"}
)
ZEEBE_ELEMENTS = frozenset(
    {"taskDefinition", "taskHeaders", "ioMapping", "loopCharacteristics", "calledElement"}
    | {"properties", "executionListeners"}
)
ZEEBE_ELEMENTS_WITHOUT_EFFECT = frozenset(
    {"userTask", "formDefinition", "userTaskForm", "assignmentDefinition", "taskSchedule"}
    | {"priorityDefinition", "jobPriorityDefinition", "subscription", "versionTag"}
)
END_LISTENER = "dadm.process-ended"
"""The one execution listener a model may have: here its message comes without being asked for."""
