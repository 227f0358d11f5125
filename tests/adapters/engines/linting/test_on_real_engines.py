"""What linting calls an error that stops a model does stop it, on the engines; and what is clean runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import dadm
from dadm.adapters.assistant_files import SHIPPED, read_catalogue
from dadm.adapters.engines.linting import lint
from dadm.ports.model_findings import EngineKind, Severity
from tests.adapters.engines.bpmn import definitions, end, flows, process, start
from tests.element_templates.applying import task_from

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

EXAMPLES = Path(dadm.__file__).parent / "examples"
ASSISTANTS = read_catalogue(SHIPPED)
LIVES = "camunda:historyTimeToLive='180'"
FILLED = {
    "assistant": "decision-analyst",
    "prompt": 'Why is ${offer} "good"?\nIn one sentence.',
    "resultVariable": "reason",
    "topic": "Explain",
}

Deploy = Callable[[bytes], httpx2.Response]


def drawn(task: str, *, attributes: str = LIVES) -> bytes:
    parts = (start(), task, end(), flows("s > Explain > e"))
    return definitions(process(*parts, attributes=attributes))


def with_template(kind: EngineKind) -> bytes:
    text = (EXAMPLES / "element_templates" / f"{kind}.json").read_text(encoding="utf-8")
    return drawn(task_from(json.loads(text), FILLED))


def errors_in(source: bytes, engine: EngineKind) -> set[str]:
    (linted,) = lint({"model.bpmn": source}, ASSISTANTS, engine=engine)
    return {found.code for found in linted.findings if found.severity is Severity.ERROR}


@pytest.fixture(params=["operaton_url", "camunda7_url"])
def deploy_7(request: pytest.FixtureRequest) -> Iterator[Deploy]:
    with httpx2.Client(base_url=request.getfixturevalue(request.param), timeout=30) as client:

        def deploy(source: bytes) -> httpx2.Response:
            return client.post(
                "/deployment/create",
                data={"deployment-name": "linted"},
                files={"model.bpmn": ("model.bpmn", source)},
            )

        yield deploy
        for deployment in client.get("/deployment").json():
            client.delete(f"/deployment/{deployment['id']}?cascade=true")


@pytest.fixture
def camunda8(camunda8_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=camunda8_url, timeout=30) as client:
        yield client


def deployed_8(client: httpx2.Client, source: bytes) -> httpx2.Response:
    return client.post("/deployments", files={"resources": ("model.bpmn", source)})


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (drawn("<bpmn:task id='Explain'/>", attributes=""), "missing_history_time_to_live"),
        (drawn("<bpmn:serviceTask id='Explain'/>"), "no_worker"),
        (drawn("<bpmn:serviceTask id='Explain' camunda:type='external'/>"), "missing_topic"),
        (b"<bpmn:definitions>", "not_xml"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_model_with_an_error_for_camunda_7_is_refused(
    deploy_7: Deploy, source: bytes, code: str
) -> None:
    assert errors_in(source, EngineKind.CAMUNDA_7) == {code}
    reply = deploy_7(source)

    # They call what they cannot parse at all a fault of their own.
    assert reply.status_code == (500 if code == "not_xml" else 400), reply.text


@pytest.mark.parametrize(
    "source",
    [
        with_template(EngineKind.CAMUNDA_7),
        (EXAMPLES / "decision_process.bpmn").read_bytes(),
        (EXAMPLES / "parallel_review.bpmn").read_bytes(),
    ],
    ids=["template", "decision_process", "parallel_review"],
)
def test_a_model_that_is_clean_for_camunda_7_is_taken(deploy_7: Deploy, source: bytes) -> None:
    assert errors_in(source, EngineKind.CAMUNDA_7) == set()

    reply = deploy_7(source)

    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (drawn("<bpmn:serviceTask id='Explain'/>"), "no_worker"),
        (
            drawn(
                "<bpmn:serviceTask id='Explain'><bpmn:extensionElements>"
                "<zeebe:taskDefinition type=''/></bpmn:extensionElements></bpmn:serviceTask>"
            ),
            "missing_topic",
        ),
        (b"<bpmn:definitions>", "not_xml"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_model_with_an_error_for_camunda_8_is_refused(
    camunda8: httpx2.Client, source: bytes, code: str
) -> None:
    assert errors_in(source, EngineKind.CAMUNDA_8) == {code}
    reply = deployed_8(camunda8, source)

    assert reply.status_code == 400, reply.text


def test_the_model_that_ships_for_camunda_8_is_taken(camunda8: httpx2.Client) -> None:
    source = (EXAMPLES / "supplier_review_zeebe.bpmn").read_bytes()

    reply = deployed_8(camunda8, source)

    assert reply.status_code == 200, reply.text


def test_a_task_made_with_the_template_reaches_a_worker_of_camunda_8_with_its_settings(
    camunda8: httpx2.Client,
) -> None:
    source = with_template(EngineKind.CAMUNDA_8).replace(b'"dadm.assistant"', b'"linted"')
    assert errors_in(source, EngineKind.CAMUNDA_8) == set()
    deployed_8(camunda8, source).raise_for_status()
    camunda8.post("/process-instances", json={"processDefinitionId": "p"}).raise_for_status()

    reply = camunda8.post(
        "/jobs/activation",
        json={
            "type": "linted",
            "timeout": 60_000,
            "maxJobsToActivate": 1,
            "worker": "test",
            "requestTimeout": 10_000,
        },
    )

    (job,) = reply.json()["jobs"]
    headers: dict[str, Any] = job["customHeaders"]
    wanted = {name: value for name, value in FILLED.items() if name != "topic"}
    assert headers == {"service.type": "assistant", **wanted}
