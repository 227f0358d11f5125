"""Assistants are read from Markdown files, and a broken file is named with its line."""

from pathlib import Path

import pytest

from dadm.adapters.assistant_files import (
    DEFAULT_ALIAS,
    SHIPPED,
    read_assistant,
    read_assistants,
    read_catalogue,
)
from dadm.domain.errors import InvalidAssistant

PARAMETERS = frozenset({"temperature", "max_output_tokens"})

COMPLETE = """\
---
name: auditor
aliases: [the-auditor, second-pair-of-eyes]
description: Looks twice.
model: some-model
parameters:
  temperature: 0.2
tools:
  - type: web_search
answer_schema:
  type: object
  required: [verdict]
---

Look twice.

Then say what you saw.
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path


def minimal(name: str, *more: str) -> str:
    return "\n".join(("---", f"name: {name}", *more, "---", f"You are {name}."))


def test_a_file_becomes_an_assistant(tmp_path: Path) -> None:
    path = write(tmp_path, "any", COMPLETE)

    assistant = read_assistant(path, parameters=PARAMETERS)

    assert assistant.name == "auditor"
    assert assistant.aliases == ("the-auditor", "second-pair-of-eyes")
    assert assistant.description == "Looks twice."
    assert assistant.model == "some-model"
    assert assistant.parameters == {"temperature": 0.2}
    assert assistant.tools == ({"type": "web_search"},)
    assert assistant.answer_schema == {"type": "object", "required": ["verdict"]}
    assert assistant.instructions == "Look twice.\n\nThen say what you saw."
    assert assistant.origin == str(path)


def test_a_file_without_a_name_is_called_like_its_file(tmp_path: Path) -> None:
    assert read_assistant(write(tmp_path, "auditor", "---\n---\nLook.")).name == "auditor"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("Just instructions.", 1, "front matter"),
        ("---\nname: a\n", 1, "no end"),
        ("---\nname: [a\n---\nb", 3, "expected"),
        ("---\n\n\nname: a\ncolour: red\n---\nb", 5, "no field 'colour'"),
        ("---\nname: a\nname: b\n---\nb", 3, "twice"),
        ("---\nname: 12\n---\nb", 2, "must be text"),
        ("---\nname: a\naliases: {b: c}\n---\nb", 3, "list of names"),
        ("---\nname: a\naliases: ['']\n---\nb", 3, "empty name"),
        ("---\nname: " + "a" * 256 + "\n---\nb", 2, "255"),
        ('---\nname: "a\\x07"\n---\nb', 2, "control characters"),
        ("---\nname: a\nparameters:\n  temperature: 1\n  colour: 2\n---\nb", 5, "'colour'; known"),
        ("---\nname: a\nparameters: 3\n---\nb", 3, "mapping"),
        ("---\nname: a\nparameters:\n  temperature: .nan\n---\nb", 4, "JSON"),
        ("---\nname: a\nanswer_schema:\n  since: 2026-01-01\n---\nb", 4, "quotes"),
        ("---\nname: a\nanswer_schema:\n  on: 1\n---\nb", 3, "quotes"),
        ("---\nname: a\nmodel: 2026-13-41\n---\nb", 3, "quotes"),
        ("---\nname: a\ntools: [web_search]\n---\nb", 3, "each with a type"),
        ("---\nname: a\nmodel: *other\n---\nb", 3, "aliases"),
        ("---\nname: a\nparameters: &p\n  temperature: *p\n---\nb", 4, "aliases"),
        ("---\nname: a\nmodel: " + "[" * 1500 + "]" * 1500 + "\n---\nb", 1, "deeply"),
        ("---\n- a\n---\nb", 2, "mapping of fields"),
        ("---\nname: a\x01\n---\nb", 2, "does not allow"),
        ("---\nname: a\nmodel: !!python/name:os.system\n---\nb", 3, "could not determine"),
        ("---\nname: a\n---\n  \n", 3, "body is empty"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = write(tmp_path, "broken", text)

    with pytest.raises(InvalidAssistant) as refusal:
        read_assistants(tmp_path, parameters=PARAMETERS)

    assert f"{path}, line {line}:" in refusal.value.message
    assert said in refusal.value.message


def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(b"---\nname: a\n---\nR\xe9sum\xe9")

    with pytest.raises(InvalidAssistant, match=r"latin\.md, line 4: .*UTF-8"):
        read_assistants(tmp_path)


def test_a_folder_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidAssistant, match=r"nowhere.*DADM_ASSISTANTS"):
        read_assistants(tmp_path / "nowhere")


def test_a_folder_without_assistants_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "README", "What is in this folder.")

    with pytest.raises(InvalidAssistant, match="no assistant"):
        read_assistants(tmp_path)


def test_two_files_that_claim_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", minimal("auditor"))
    write(tmp_path, "two", minimal("clerk", "aliases: auditor"))

    with pytest.raises(InvalidAssistant, match=r"'auditor'.*one\.md.*two\.md"):
        read_catalogue(tmp_path, default="auditor")


def test_the_default_answers_to_the_default_alias(tmp_path: Path) -> None:
    write(tmp_path, "one", minimal("auditor"))
    write(tmp_path, "two", minimal("clerk"))

    catalogue = read_catalogue(tmp_path, default="clerk")

    assert catalogue.default.name == "clerk"
    assert catalogue.resolve(DEFAULT_ALIAS).name == "clerk"


def test_whoever_claims_the_default_alias_keeps_it(tmp_path: Path) -> None:
    write(tmp_path, "one", minimal("auditor", f"aliases: {DEFAULT_ALIAS}"))
    write(tmp_path, "two", minimal("clerk"))

    assert read_catalogue(tmp_path).default.name == "auditor"
    assert read_catalogue(tmp_path, default="clerk").resolve(DEFAULT_ALIAS).name == "auditor"


def test_the_only_assistant_is_the_default(tmp_path: Path) -> None:
    write(tmp_path, "one", minimal("auditor"))

    assert read_catalogue(tmp_path).resolve("").name == "auditor"


def test_a_default_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "one", minimal("auditor"))
    write(tmp_path, "two", minimal("clerk"))

    with pytest.raises(InvalidAssistant, match=r"DADM_DEFAULT_ASSISTANT.*auditor, clerk"):
        read_catalogue(tmp_path)


def test_a_default_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", minimal("auditor"))

    with pytest.raises(InvalidAssistant, match="'judge'"):
        read_catalogue(tmp_path, default="judge")


def test_the_version_follows_the_content_and_not_the_alias(tmp_path: Path) -> None:
    first = read_assistant(write(tmp_path, "a", minimal("auditor")))
    renamed = read_assistant(write(tmp_path, "a", minimal("auditor", "aliases: checker")))
    changed = read_assistant(write(tmp_path, "a", minimal("auditor") + " Look thrice."))

    assert first.version == renamed.version
    assert first.version != changed.version


def test_the_shipped_assistants_are_complete() -> None:
    catalogue = read_catalogue(SHIPPED, parameters=frozenset())

    assert catalogue.default.name == "decision-analyst"
    assert catalogue.resolve(DEFAULT_ALIAS) is catalogue.default
    assert len(catalogue.assistants) >= 2
    assert [each.name for each in catalogue.assistants if not each.description] == []
