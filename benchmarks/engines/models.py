"""The process that is measured, in the words of each engine: four AI tasks, one after the other."""

from tests.adapters.engines import bpmn

KEY = "bench"
TOPICS = ("Frame", "Alternatives", "Evaluate", "Recommend")
PROMPTS = (
    "We must choose ${decision}. The budget is ${budget}. Say what must be decided.",
    "Name one alternative to ${decision}.",
    "Is ${decision} worth it?",
    "Recommend, and name the budget.",
)
FACTS = {"decision": "chairs", "budget": "15,000 euros"}
FLOW = bpmn.flows(" > ".join(("s", *TOPICS, "e")))


def camunda7_model() -> bytes:
    """Write it with documentation and properties."""
    marked = bpmn.extended(bpmn.properties(service__type="assistant"))
    tasks = [
        bpmn.task(topic, f"<bpmn:documentation>{prompt}</bpmn:documentation>{marked}")
        for topic, prompt in zip(TOPICS, PROMPTS, strict=True)
    ]
    whole = bpmn.process(
        *(bpmn.start(), *tasks, bpmn.end(), FLOW),
        key=KEY,
        attributes="camunda:historyTimeToLive='1'",
    )
    return bpmn.definitions(whole)


def camunda8_model() -> bytes:
    """Write it with task headers."""
    tasks = [
        bpmn.job(topic, extensions=headers({"service.type": "assistant", "prompt": prompt}))
        for topic, prompt in zip(TOPICS, PROMPTS, strict=True)
    ]
    return bpmn.model(bpmn.start(), *tasks, bpmn.end(), FLOW, key=KEY)


def headers(named: dict[str, str]) -> str:
    """Write task headers."""
    written = "".join(
        f"<zeebe:header key='{name}' value='{value}'/>" for name, value in named.items()
    )
    return f"<zeebe:taskHeaders>{written}</zeebe:taskHeaders>"
