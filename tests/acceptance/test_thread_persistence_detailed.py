"""The four scenarios of thread persistence: tests, and a check of any live service.

    python tests/acceptance/test_thread_persistence_detailed.py --url http://localhost:5000

As a script it needs nothing beside Python 3.11. It asks about fifteen short questions on process
instances of its own, prints one line for each check, and exits with 0 if all of them hold, with 1
if one does not, and with 2 if there is no service. The fourth scenario deletes one of its own
conversations where the service keeps them: at OPENAI_BASE_URL, with the key in OPENAI_API_KEY.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from tests.acceptance.conftest import OnSimulator

OPENAI = "https://api.openai.com/v1"
TOM = {"decision": "new office chairs", "owner": "Tom Becker", "budget": "15,000 euros"}
ALICE = {"decision": "a new delivery van", "owner": "Alice Moreno", "budget": "40,000 euros"}
TELL = (
    "We have to decide about ${decision}. ${owner} decides, and the budget is ${budget}. "
    "Say in one sentence what is to be decided."
)
RECALL = "Who is the decision owner, and what is the budget? Answer in one short sentence."
NOD = "Answer with yes."
BEGUN = "created, conversation 1, turn 1"
LONGEST_QUOTE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at; `holds` is None where it is told and not judged."""

    claim: str
    holds: bool | None
    found: str

    @property
    def line(self) -> str:
        """Write it as one line."""
        mark = {True: "ok  ", False: "FAIL", None: "note"}[self.holds]
        return " ".join(f"{mark} {self.claim}: {self.found}".splitlines())


class Unanswered(Exception):
    """A request brought no answer; `status` is None where nothing replied at all."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotApplicable(Exception):
    """A scenario cannot be tried here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Something that answers requests with JSON; `secret` is a token or key, or empty."""

    url: str
    secret: str = ""
    seconds: float = 300.0

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and give the reply.

        Raises:
            Unanswered: Nothing, or an error, came back.
        """
        url = self.url.rstrip("/") + path
        if urlsplit(url).scheme not in {"http", "https"}:
            raise Unanswered(f"{self.url} does not begin with http:// or https://")
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
            url, content, {"Content-Type": "application/json"}, method=method
        )
        if self.secret:
            # Unredirected: a secret stays with the server it is for.
            request.add_unredirected_header("Authorization", f"Bearer {self.secret}")
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as reply:  # noqa: S310 - as above
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode(errors="replace")
            raise Unanswered(f"{method} {url}: {error.code} {said}", status=error.code) from error
        except (OSError, ValueError) as error:
            raise Unanswered(f"{method} {url}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Server):
    """The service that is checked."""

    def answer(self, question: str, **more: object) -> Any:
        """Have a task answered."""
        return self.call("POST", "/process_task", {"task_description": question, **more})

    def turns(self, thread_id: str) -> Any:
        """Give the turns of a thread, oldest first."""
        return self.call("GET", f"/threads/{quote(thread_id)}")["turns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Server):
    """The API at which the service keeps conversations."""

    def messages(self, thread_id: str) -> list[str]:
        """Give the texts of a conversation's messages, oldest first."""
        texts: list[str] = []
        after: dict[str, str] = {}
        while True:
            query = urlencode({"order": "asc", "limit": 100, **after})
            page = self.call("GET", f"/conversations/{quote(thread_id)}/items?{query}")
            messages = [item for item in page["data"] if item["type"] == "message"]
            texts += [
                "".join(part.get("text", "") for part in each["content"]) for each in messages
            ]
            if not page["has_more"]:
                return texts
            after = {"after": page["last_id"]}


def backend_of(service: Service, environment: Mapping[str, str]) -> Backend:
    """Find the API where the service keeps its conversations.

    Raises:
        NotApplicable: It keeps none there, or we may not reach it.
    """
    kept = service.call("GET", "/status")["backend"]
    if not kept["keeps_conversations"]:
        raise NotApplicable(f"the backend {kept['kind']} keeps no conversations")
    if kept["kind"] != "openai":
        raise NotApplicable(f"the backend {kept['kind']} has no API to delete them by")
    key = environment.get("OPENAI_API_KEY")
    if not key:
        raise NotApplicable("there is no key in OPENAI_API_KEY to delete a conversation with")
    address = environment.get("OPENAI_BASE_URL") or OPENAI
    if address == OPENAI != (kept["address"] or OPENAI).rstrip("/"):
        # The key is sent nowhere but where its owner says.
        raise NotApplicable(f"set OPENAI_BASE_URL to say that {kept['address']} may have the key")
    return Backend(url=address, secret=key)


def is_same(claim: str, found: object, expected: object) -> Check:
    """Check that something is exactly what it should be."""
    if found != expected:
        return Check(claim=claim, holds=False, found=f"{found!r}, not {expected!r}")
    text = ", ".join(map(str, found)) if isinstance(found, list | tuple) else str(found)
    if len(text) > LONGEST_QUOTE:
        text = f"{text[:LONGEST_QUOTE]}…"
    return Check(claim=claim, holds=True, found=text)


def is_other(claim: str, *found: object) -> Check:
    """Check that things differ, each from each."""
    return Check(
        claim=claim,
        holds=len(set(found)) == len(found),
        found=", ".join(str(each) for each in found),
    )


def are_in(claim: str, facts: Iterable[str], texts: Sequence[str]) -> Check:
    """Check that every fact is somewhere in the texts."""
    missing = [fact for fact in facts if not any(fact in text for text in texts)]
    return Check(
        claim=claim,
        holds=not missing,
        found=f"missing {missing} in {list(texts)}" if missing else f"in {len(texts)} messages",
    )


def are_not_in(claim: str, facts: Iterable[str], texts: Sequence[str]) -> Check:
    """Check that no fact is anywhere in the texts, of which there must be some."""
    there = [fact for fact in facts if any(fact in text for text in texts)]
    return Check(
        claim=claim,
        holds=bool(texts) and not there,
        found=f"{there} in {list(texts)}" if there else f"{len(texts)} messages looked through",
    )


def words(answer: Any, facts: Mapping[str, str]) -> Check:
    """Tell whether the model's own words name owner and budget; a small model may miss."""
    said = answer["result"]["recommendation"]
    named = [fact for fact in (facts["owner"], facts["budget"]) if fact in said]
    return Check(
        claim=f"the model's own words name {named or 'neither'}", holds=None, found=repr(said)
    )


def new_instance() -> str:
    """Name a process instance that nobody has."""
    return f"four-scenarios-{uuid.uuid4()}"


def thread_of(answer: Any) -> str:
    """Give the id of the thread an answer was given on."""
    return str(answer["result"]["thread_id"])


def place_of(answer: Any) -> str:
    """Say how a turn came by its conversation, which of the thread's it is, and its place there."""
    thread = answer["thread"]
    sequence = answer["turn"]["sequence"]
    return f"{thread['change']}, conversation {thread['generation']}, turn {sequence}"


def persistence(service: Service, instance: str) -> Iterator[Check]:
    """Tasks of one process instance share a thread; tasks without one never do."""
    task = {"process_instance_id": instance, "task_id": f"{instance}-1", "variables": TOM}
    first = service.answer(TELL, **task)
    second = service.answer(NOD, process_instance_id=instance, variables=TOM)
    thread_id = thread_of(first)
    yield is_same("the first task creates a thread", place_of(first), BEGUN)
    yield is_same("the second has the same thread", thread_of(second), thread_id)
    yield is_same("and reuses it", place_of(second), "reused, conversation 1, turn 2")
    before = [each["thread"]["previous_thread_id"] for each in (first, second)]
    yield is_same("no thread was replaced", before, [None, None])

    listed = service.call("GET", f"/threads?process_instance_id={quote(instance)}")["threads"]
    yield is_same("one thread is listed", [each["thread_id"] for each in listed], [thread_id])
    turns = [
        f"{turn['sequence']} {turn['state']} {turn['task_id']}" for turn in service.turns(thread_id)
    ]
    expected = [f"1 completed {first['task_id']}", f"2 completed {second['task_id']}"]
    yield is_same("its turns are both tasks in order", turns, expected)

    again = service.answer(TELL, **task)
    results = [list(each["result"].values()) for each in (again, first)]
    yield is_same("the first task again gets the same answer", *results)
    expected_turn = first["turn"] | {"replayed": True}
    yield is_same("from the record, as the same turn", again["turn"], expected_turn)

    alone = [service.answer(NOD) for _ in range(2)]
    threads = [thread_id, *(thread_of(each) for each in alone)]
    yield is_other("tasks without an instance have a thread each", *threads)
    yield is_same("and begin it", [place_of(each) for each in alone], [BEGUN, BEGUN])


def context(service: Service, backend: Backend | None, instance: str) -> Iterator[Check]:
    """What the first task was told, later tasks know from the thread alone."""
    facts = list(TOM.values())
    first = service.answer(TELL, process_instance_id=instance, variables=TOM)
    second = service.answer(RECALL, process_instance_id=instance, variables=TOM)
    thread_id = thread_of(first)
    yield is_same("both tasks are on one thread", thread_of(second), thread_id)
    prompts = [turn["prompt"] for turn in service.turns(thread_id)]
    yield are_in("the first task was told the facts", facts, prompts[:1])
    yield are_not_in("the second task's prompt repeats none of them", facts, prompts[1:])
    if backend is not None:
        yield is_same(
            "the conversation at the backend is both turns, word for word",
            backend.messages(thread_id),
            texts_of(service.turns(thread_id)),
        )
    yield words(second, TOM)


def isolation(
    service: Service, backend: Backend | None, instance: str, other_instance: str
) -> Iterator[Check]:
    """Process instances know nothing of each other, nor do two assistants of one instance."""
    instances = {instance: TOM, other_instance: ALICE}
    told = [
        service.answer(TELL, process_instance_id=instance, variables=facts)
        for instance, facts in instances.items()
    ]
    recalled = [service.answer(RECALL, process_instance_id=instance) for instance in instances]
    threads = [thread_of(each) for each in told]
    yield is_other("two instances have two threads", *threads)
    yield is_same("each goes on with its own", [thread_of(each) for each in recalled], threads)
    for thread_id, own, others in zip(threads, (TOM, ALICE), (ALICE, TOM), strict=True):
        texts = [turn["prompt"] for turn in service.turns(thread_id)]
        if backend is not None:
            texts += backend.messages(thread_id)
        whose = f"the thread of {own['owner']}'s decision"
        yield are_in(f"{whose} holds its own facts", own.values(), texts)
        yield are_not_in(f"{whose} holds nothing of the other", others.values(), texts)
    for answer, facts in zip(recalled, (TOM, ALICE), strict=True):
        yield words(answer, facts)

    assistants = service.call("GET", "/metadata")["assistants"]
    names = [each["name"] for each in assistants]
    names.remove(told[0]["assistant"]["name"])
    if names:
        other = service.answer(NOD, process_instance_id=instance, assistant=names[0])
        claim = "another assistant of the instance has a thread of its own"
        yield is_other(claim, *threads, thread_of(other))
        yield is_same("and begins it", place_of(other), BEGUN)


def validation(service: Service, backend: Backend, instance: str) -> Iterator[Check]:
    """A conversation deleted behind the service's back is rebuilt with its memory."""
    first = service.answer(TELL, process_instance_id=instance, variables=TOM)
    service.answer(NOD, process_instance_id=instance, variables=TOM)
    lost = thread_of(first)
    given_back = texts_of(service.turns(lost))

    deleted = backend.call("DELETE", f"/conversations/{quote(lost)}")
    yield is_same("the conversation is deleted", deleted["deleted"], True)
    third = service.answer(RECALL, process_instance_id=instance, variables=TOM)
    healed = thread_of(third)
    yield is_other("the next task has a new thread id", lost, healed)
    yield is_same(
        "rebuilt, and the turns go on", place_of(third), "rebuilt, conversation 2, turn 3"
    )
    yield is_same("it names the one before", third["thread"]["previous_thread_id"], lost)
    copied = third["thread"]["copied_messages"]
    yield is_same("all messages were given back", copied, len(given_back))
    held = backend.messages(healed)
    yield is_same("word for word, before the question", held[:-2], given_back)
    yield are_in("the facts are among them", TOM.values(), held[:-2])
    found = service.call("GET", f"/threads/{quote(lost)}")["thread_id"]
    yield is_same("the old id still finds the thread", found, healed)
    yield words(third, TOM)

    fourth = service.answer(NOD, process_instance_id=instance, variables=TOM)
    yield is_same(
        "the task after it reuses the new one", place_of(fourth), "reused, conversation 2, turn 4"
    )
    yield is_same("under the new id", thread_of(fourth), healed)


def texts_of(turns: Iterable[Any]) -> list[str]:
    """Give the messages that turns consist of, in order."""
    return [text for turn in turns for text in (turn["prompt"], turn["answer"])]


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def judge(name: str, checks: Iterator[Check]) -> bool:
    """Print the checks of a scenario; True if all hold."""
    holds = True
    try:
        for check in checks:
            say(f"{name}: {check.line}")
            holds = holds and check.holds is not False
    except Unanswered as trouble:
        holds = False
        say(f"{name}: FAIL a request was not answered: {trouble}")
    except (LookupError, TypeError) as trouble:
        holds = False
        say(f"{name}: FAIL a reply has another shape: {trouble!r}")
    return holds


def main() -> int:
    """Check the service that the command line names."""
    reader = argparse.ArgumentParser(description="Check thread persistence of a live service.")
    reader.add_argument("--url", default="http://localhost:5000", help="where the service listens")
    reader.add_argument("--token", default="", help="a token, if the service asks for one")
    given = reader.parse_args()
    service = Service(url=given.url, secret=given.token)
    backend: Backend | None = None
    why = ""
    try:
        backend = backend_of(service, os.environ)  # noqa: TID251 - the key is its owner's, not a setting
    except NotApplicable as reason:
        why = str(reason)
        say(f"note what the backend keeps cannot be looked at: {why}")
    except Unanswered as trouble:
        say(f"There is no service to check: {trouble}")
        return 2
    held = [
        judge("persistence", persistence(service, new_instance())),
        judge("context", context(service, backend, new_instance())),
        judge("isolation", isolation(service, backend, new_instance(), new_instance())),
    ]
    if backend is None:
        say(f"validation: not applicable, because {why}")
    else:
        held.append(judge("validation", validation(service, backend, new_instance())))
    say("All checks hold." if all(held) else "Not all checks hold.")
    return 0 if all(held) else 1


# From here on: by pytest, against `dadm serve` on the simulator with the local model behind it.


def failed(checks: Iterable[Check]) -> list[str]:
    """Give the lines of the checks that do not hold, of which there must be some that do."""
    judged = [check for check in checks if check.holds is not None]
    assert judged
    return [check.line for check in judged if not check.holds]


def parts_of(on_simulator: "OnSimulator") -> tuple[Service, Backend]:
    service = Service(url=on_simulator.url)
    key = {"OPENAI_API_KEY": on_simulator.key, "OPENAI_BASE_URL": on_simulator.backend_url}
    return service, backend_of(service, key)


def shown_to_model(on_simulator: "OnSimulator", last: str) -> list[list[str]]:
    """Give what the model was shown whenever `last` was the last message, oldest call first."""
    simulator = Server(url=on_simulator.simulator.address, secret=on_simulator.key)
    calls = [
        [text for _, text in entry["messages"]]
        for entry in simulator.call("GET", "/simulator/ledger")["entries"]
        if entry["kind"] == "ModelCall"
    ]
    return [texts for texts in calls if texts[-1] == last]


def received(instance: str) -> list[str]:
    return [
        f"info: Processing task for process_instance_id: {instance}",
        f"info: Thread persistence enabled for process: {instance}",
    ]


def test_tasks_of_an_instance_share_a_thread(on_simulator: "OnSimulator") -> None:
    service, _ = parts_of(on_simulator)
    instance = new_instance()

    assert not failed(persistence(service, instance))
    (listed,) = service.call("GET", f"/threads?process_instance_id={instance}")["threads"]
    assert on_simulator.logged_of(instance) == [
        *received(instance),
        f"info: Created new thread {listed['thread_id']} for process {instance}",
        *received(instance),
        f"info: Reusing existing thread {listed['thread_id']} for process {instance}",
        *received(instance),
    ]


def test_a_later_task_knows_what_only_the_first_was_told(on_simulator: "OnSimulator") -> None:
    assert not failed(context(*parts_of(on_simulator), new_instance()))
    *_, shown = shown_to_model(on_simulator, RECALL)
    assert len(shown) == 3
    assert all(fact in shown[0] for fact in TOM.values())


def test_instances_know_nothing_of_each_other(on_simulator: "OnSimulator") -> None:
    assert not failed(isolation(*parts_of(on_simulator), new_instance(), new_instance()))
    *_, tom, alice = (" ".join(texts) for texts in shown_to_model(on_simulator, RECALL))
    for own, other, shown in ((TOM, ALICE, tom), (ALICE, TOM, alice)):
        assert all(fact in shown for fact in own.values())
        assert not any(fact in shown for fact in other.values())


def test_a_deleted_conversation_is_rebuilt_with_its_memory(on_simulator: "OnSimulator") -> None:
    service, backend = parts_of(on_simulator)
    instance = new_instance()

    assert not failed(validation(service, backend, instance))
    *_, shown = shown_to_model(on_simulator, RECALL)
    assert len(shown) == 5
    assert all(fact in shown[0] for fact in TOM.values())
    (listed,) = service.call("GET", f"/threads?process_instance_id={instance}")["threads"]
    (_, _, created, *later) = on_simulator.logged_of(instance)
    lost = created.removeprefix("info: Created new thread ").removesuffix(
        f" for process {instance}"
    )
    healed = listed["thread_id"]
    assert later == [
        *received(instance),
        f"info: Reusing existing thread {lost} for process {instance}",
        *received(instance),
        # The turn itself is the check: only trying to go on shows that the conversation is gone.
        f"info: Reusing existing thread {lost} for process {instance}",
        f"info: Recreated lost thread {healed} for process {instance} with 4 messages given back (was {lost})",
        *received(instance),
        f"info: Reusing existing thread {healed} for process {instance}",
    ]


if __name__ == "__main__":
    sys.exit(main())
