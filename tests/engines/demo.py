"""The decision process on a real engine with the local model: deployed, started, worked and shown."""

import asyncio
import json
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dadm
from tests.acceptance.programs import DADM, running
from tests.engines.distributions import CAMUNDA_8, Distribution
from tests.engines.rest_engine import RestEngine
from tests.engines.running import running_broker, running_engine

EXAMPLES = Path(dadm.__file__).parent / "examples"
FACTS = {
    "decision": "new office chairs",
    "decision_owner": "Tom Becker",
    "budget": "15,000 euros",
}
TASKS = ("FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend")
SECONDS = 240.0
"""How long a task may take; a slow machine needs some tens of seconds for its model."""


def demonstrate(distribution: Distribution) -> bool:
    """Start an engine, play on it, and give whether all went well.

    Raises:
        NothingThere: It cannot be started here.
    """
    with tempfile.TemporaryDirectory(prefix="dadm-demo-") as kept:
        folder = Path(kept)
        print(f"starting {distribution.title}", flush=True)
        with _started(distribution, folder) as address:
            print(f"{distribution.title} answers at {address}", flush=True)
            return play(address, folder)


def play(address: str, folder: Path, *, backend: str = "local") -> bool:
    """Have the engine at `address` run one instance, with everything of DADM in `folder`.

    Tells what happens on standard output, and gives whether all tasks stand on one thread.
    """
    settings = {
        "DADM_BACKEND": backend,
        "DADM_ENGINE_URL": address,
        # A broker before 8.8 does not tell which job types are AI tasks'.
        "DADM_ENGINE__TOPICS": ",".join(TASKS),
    }
    instance = _begun(address, folder, settings)
    print(f"the process instance {instance} has begun", flush=True)
    with running(DADM, "work", folder=folder, settings=settings) as worker:
        for number, task in enumerate(TASKS, 1):
            worker.heard(f"action=outcome_reported element_id={task} ", seconds=SECONDS)
            print(f"task {number} of {len(TASKS)}, {task}, is completed", flush=True)
        worker.terminate()
        worker.wait()
    threads = _told(folder, settings, "threads", "list", "--instance", instance)["threads"]
    for each in threads:
        thread = _told(folder, settings, "threads", "show", each["thread_id"])
        print(f"\nthread {each['thread_id']}")
        for turn in thread["turns"]:
            print(f"  {turn['element_id']}: {turn['answer']}")
    print("\nOne thread has all four tasks." if len(threads) == 1 else "\nThere is no one thread.")
    return len(threads) == 1


def _started(distribution: Distribution, folder: Path) -> AbstractContextManager[str]:
    if distribution is CAMUNDA_8:
        return running_broker(folder)
    return running_engine(distribution, folder)


def _begun(address: str, folder: Path, settings: dict[str, str]) -> str:
    """Deploy the process and start an instance as people do it on such an engine; give its id."""
    if address.endswith("/engine-rest"):
        return asyncio.run(_begun_over_rest(address))
    model = EXAMPLES / "decision_process_zeebe.bpmn"
    with running(DADM, "deploy", str(model), folder=folder, settings=settings) as deploying:
        assert deploying.wait() == 0, deploying.stderr
    given = [f"-v{name}={value}" for name, value in FACTS.items()]
    started = _told(folder, settings, "start", "decision_process_zeebe", *given)
    return str(started["process_instance_id"])


async def _begun_over_rest(address: str) -> str:
    engine = RestEngine(address)
    async with engine.client:
        await engine.deploy((EXAMPLES / "decision_process.bpmn").read_bytes())
        return await engine.start("decision_process", variables=dict(FACTS))


def _told(folder: Path, settings: dict[str, str], *arguments: str) -> Any:
    with running(DADM, *arguments, "--json", folder=folder, settings=settings) as program:
        assert program.wait() == 0, program.stderr
        return json.loads("\n".join(program.stdout))
