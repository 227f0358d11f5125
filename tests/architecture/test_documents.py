"""What the documents say is there: settings, commands, links, metrics, log lines, decision records."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from dadm.adapters.assistant_files import read_assistant
from dadm.adapters.engines.embedded.models.reading import read_models
from dadm.domain.thread import GenerationReason
from dadm.domain.turn import LEGAL_CHANGES
from dadm.entrypoints.cli.app import build
from dadm.entrypoints.openai_service.messages import ProcessTaskRequest
from dadm.ports.observer import Event, TaskReceived, ThreadCreated, ThreadRebuilt, ThreadReused
from dadm.settings import known_settings
from dadm.telemetry import Metrics
from dadm.telemetry.log_lines import log_lines
from tools import errors_reference, http_reference

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
DECISIONS = DOCS / "decisions"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`(?P<text>[^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
SHELL = {"bash", "console", "sh"}
FOR_TESTS = {"DADM_FAILPOINT", "DADM_TEST_POSTGRES_URL", "DADM_TEST_JAVA_HOME"}
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
# What a shell puts between commands, or ends one with.
BETWEEN = {"|", "||", "&&", "&", ";", ">", ">>", "<"}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code of a page in these languages."""
    return [
        found["text"] for found in FENCE.finditer(text_of(page)) if found["language"] in languages
    ]


def in_lines(page: Path) -> str:
    """Return a page's text without its blocks of code."""
    return FENCE.sub("", text_of(page))


def told_commands(page: Path) -> Iterator[list[str]]:
    """Yield the commands a page tells its reader to type, as words."""
    for block in blocks(page, *SHELL):
        yield from statements(block)
    for span in SPAN.finditer(in_lines(page)):
        if span["text"].startswith(("dadm ", "make ")):
            yield span["text"].split()


def statements(block: str) -> Iterator[list[str]]:
    """Yield the commands of a block; one goes on while a quote is open or a line ends with \\."""
    begun = ""
    for line in block.replace("\\\n", " ").splitlines():
        begun = f"{begun}\n{line}" if begun else line.removeprefix("$ ")
        try:
            yield shlex.split(begun, comments=True)
        except ValueError:
            continue
        begun = ""
    assert not begun, f"a quote is left open: {begun}"


def of_program(program: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield what follows `program` on a line, up to the next command."""
    for page in PAGES:
        for words in told_commands(page):
            for at, word in enumerate(words):
                if word == program and (
                    at == 0 or words[at - 1] in BETWEEN or "=" in words[at - 1]
                ):
                    after = words[at + 1 :]
                    end = next((i for i, each in enumerate(after) if each in BETWEEN), len(after))
                    yield page, after[:end]


def every_command() -> dict[str, set[str]]:
    """Return the options of each command, by its name as one types it."""

    def below(command: object, name: str) -> Iterator[tuple[str, set[str]]]:
        if isinstance(command, TyperGroup):
            for inner, each in command.commands.items():
                yield from below(each, f"{name} {inner}")
        elif isinstance(command, TyperCommand):
            taken = (option for parameter in command.params for option in parameter.opts)
            yield name, {*taken, "--help", "-h"}

    return dict(below(typer.main.get_command(build()), "dadm"))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that a page's headings get where it is read."""
    headings = re.findall(r"^#{1,6} +(.+)$", in_lines(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def test_every_setting_is_in_the_reference() -> None:
    page = text_of(DOCS / "reference" / "settings.md")

    assert not [each.variable for each in known_settings() if f"`{each.variable}`" not in page]


def test_every_setting_that_a_document_names_exists() -> None:
    known = {each.variable for each in known_settings()} | FOR_TESTS
    named_somewhere = {
        f"{named(page)}: {variable}"
        for page in PAGES
        for variable in re.findall(r"\bDADM_[A-Z][A-Z0-9_]*", text_of(page))
        if not any(is_or_begins(each, variable) for each in known)
    }

    assert not named_somewhere


def is_or_begins(known: str, written: str) -> bool:
    """Say whether that is a setting, under any name where it has one in it, or how some begin."""
    general = re.sub(r"^DADM_ENGINES__[A-Z0-9]+(_[A-Z0-9]+)*__", "DADM_ENGINES__<NAME>__", written)
    return known.startswith(general) if general.endswith("__") else known == general


def test_every_command_is_in_the_reference() -> None:
    page = text_of(DOCS / "reference" / "cli.md")
    commands = every_command()

    assert commands
    assert not [name for name in commands if not re.search(rf"^## `{name}\b", page, re.MULTILINE)]


def test_every_dadm_command_that_a_document_tells_exists() -> None:
    commands = every_command()
    groups = {name.rpartition(" ")[0] for name in commands}
    for_itself = {"--help", "-h", "--version", "--install-completion", "…"}
    unknown = []
    for page, words in of_program("dadm"):
        told = [name for n in (1, 2) if (name := " ".join(["dadm", *words[:n]])) in commands]
        options = {word.partition("=")[0] for word in words if re.match(r"--?\w", word)}
        if told:
            unknown += [f"{named(page)}: {told[0]} {each}" for each in options - commands[told[0]]]
        elif not set(words) <= for_itself and " ".join(["dadm", *words]) not in groups:
            unknown.append(f"{named(page)}: {' '.join(['dadm', *words])}")

    assert not unknown


def test_every_make_target_that_a_document_tells_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    unknown = [
        f"{named(page)}: make {words[0]}"
        for page, words in of_program("make")
        if words and "=" not in words[0] and words[0] not in targets | {"…"}
    ]

    assert not unknown


def test_the_readme_begins_with_the_two_commands() -> None:
    first = blocks(ROOT / "README.md", *SHELL)[0]

    assert [line.partition("#")[0].strip() for line in first.splitlines()] == [
        "make demo",
        "make test",
    ]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for found in LINK.finditer(in_lines(page)):
        path, _, anchor = found["target"].partition("#")
        if path.startswith(("http://", "https://")):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(found["target"])

    assert not lost


def test_every_file_and_test_that_a_document_names_exists() -> None:
    tests = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", text_of(file))
    }
    lost = []
    for page in PAGES:
        for span in SPAN.finditer(in_lines(page)):
            text = span["text"]
            if re.fullmatch(r"(?:src|tests|docs|tools|requirements)/[\w./*-]*", text):
                lost += [] if any(ROOT.glob(text.rstrip("/"))) else [f"{named(page)}: {text}"]
            elif re.fullmatch(r"test_\w+", text) and text not in tests:
                lost.append(f"{named(page)}: {text}")

    assert not lost


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        for found in LINK.finditer(in_lines(page)):
            target = (page.parent / found["target"].partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_file() and target not in reached:
                ahead.append(target)

    assert not [named(page) for page in PAGES if page not in reached]


def test_the_page_of_errors_says_what_the_code_says() -> None:
    assert text_of(errors_reference.PAGE) == errors_reference.page(), "run: make docs"


def test_the_page_of_http_says_what_the_service_says() -> None:
    assert text_of(http_reference.PAGE) == http_reference.page(), "run: make docs"


def test_the_page_of_the_service_lists_every_metric_and_no_other() -> None:
    page = text_of(DOCS / "openai_service.md")
    listed = set(re.findall(r"^\| `(dadm_\w+)` \|", page, re.MULTILINE))
    counted = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics(backend="any").registry.collect()
        if family.name.startswith("dadm_")
    }

    assert listed == counted


def test_every_reason_for_a_new_conversation_is_explained() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = page.partition("| reason |")[2].partition("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(GenerationReason)


def test_the_drawn_states_of_a_turn_are_its_legal_changes() -> None:
    (drawing,) = [
        block
        for block in blocks(DOCS / "architecture.md", "mermaid")
        if "stateDiagram" in block and "submitted" in block
    ]
    drawn = set(re.findall(r"^ +(\w+) --> (\w+):", drawing, re.MULTILINE))

    assert drawn == {
        (before.value, after.value) for before, may in LEGAL_CHANGES.items() for after in may
    }


@pytest.mark.parametrize("page", ["openai_service.md", "service_architecture.md"])
def test_log_lines_are_quoted_word_for_word(page: str) -> None:
    event: Event
    written = text_of(DOCS / page)
    thread_id = re.search(r"Created new thread (\S+) for process proc_123", written)
    assert thread_id
    about = {"process_instance_id": "proc_123", "thread_id": thread_id[1], "assistant": "analyst"}
    for event in (
        TaskReceived(process_instance_id="proc_123", task_id="1", engine="e", assistant="a"),
        ThreadCreated(**about),
        ThreadReused(**about),
    ):
        for line in log_lines(event):
            assert line.text in written.splitlines()


def test_the_line_about_a_lost_thread_is_quoted_word_for_word() -> None:
    event = ThreadRebuilt(
        process_instance_id="proc_123",
        thread_id="conv_def",
        previous_thread_id="conv_abc",
        assistant="analyst",
        reason=GenerationReason.LOST,
        copied_messages=4,
        left_out_exchanges=0,
    )

    (line,) = log_lines(event)
    assert line.text in text_of(DOCS / "service_architecture.md").splitlines()


def test_requests_in_the_documents_are_requests_that_the_service_takes() -> None:
    bodies = [
        json.loads(found)
        for page in PAGES
        for block in blocks(page, *SHELL)
        for found in re.findall(r"process_task .*?-d '(.*?)'", block, re.DOTALL)
    ]

    assert bodies
    for body in bodies:
        wanted = ProcessTaskRequest.read(body)
        assert not wanted.ignored_fields
        assert wanted.as_task(task_id="any").question


def test_the_assistant_in_the_documents_can_be_read(tmp_path: Path) -> None:
    (written,) = blocks(DOCS / "howto" / "write_an_assistant.md", "markdown")
    file = tmp_path / "risk-reviewer.md"
    file.write_text(written, encoding="utf-8")

    assert read_assistant(file).aliases == ("reviewer",)


@pytest.mark.parametrize("drawn_for", ["camunda", "zeebe"])
def test_the_tasks_in_the_documents_are_ai_tasks_that_can_be_deployed(drawn_for: str) -> None:
    (task,) = [
        block
        for block in blocks(DOCS / "howto" / "model_a_process.md", "xml")
        if f"<{drawn_for}:" in block
    ]
    model = f"""
        <bpmn:definitions id="file" targetNamespace="urn:file"
            xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
            xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
            xmlns:zeebe="http://camunda.org/schema/zeebe/1.0">
          <bpmn:process id="written_down" isExecutable="true">
            <bpmn:startEvent id="start" /><bpmn:endEvent id="end" />
            <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="FrameDecision" />
            <bpmn:sequenceFlow id="out" sourceRef="FrameDecision" targetRef="end" />
            {task}
          </bpmn:process>
        </bpmn:definitions>"""

    (read,) = read_models({"written_down.bpmn": model.strip().encode()})
    (element,) = read.model.assistant_elements
    assert element.work is not None
    assert element.work.assistant == "decision-analyst"


def test_decision_records_are_numbered_without_gaps_and_listed() -> None:
    index = text_of(DECISIONS / "README.md")

    assert [int(record.name[:4]) for record in RECORDS] == list(range(len(RECORDS)))
    assert not [record.name for record in RECORDS if f"({record.name})" not in index]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_record_has_its_sections_and_its_date(record: Path) -> None:
    written = text_of(record)
    parts = re.split(r"^## (.+)$", written, flags=re.MULTILINE)

    assert re.match(
        rf"# {record.name[:4]} · \S.*\n\nDate: (\d{{4}}-\d\d-\d\d|YYYY-MM-DD)\n", written
    )
    assert parts[1::2] == SECTIONS
    assert all(part.strip() for part in parts[2::2])
