"""Commands of the installed program, given one after the other to one database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dadm
from tests.acceptance.programs import Program, Starting

EXAMPLES = Path(dadm.__file__).parent / "examples"
DECISION = str(EXAMPLES / "decision_process.bpmn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(slots=True, kw_only=True)
class CommandLine:
    """Starts commands; their home is `home`, so they share the database in its data folder."""

    start: Starting
    home: Path
    settings: dict[str, str] = field(default_factory=lambda: {"DADM_BACKEND": "scripted"})

    def script(self, content: Any) -> None:
        """Have the backend answer by a script from the next command on."""
        path = self.home / "script.json"
        path.write_text(json.dumps(content), "utf-8")
        self.settings["DADM_SCRIPTED__SCRIPT"] = str(path)

    def stay(self, *arguments: str, **more: str) -> Program:
        """Start a program that stays."""
        return self.start(*arguments, **self.settings, **more)

    def run(self, **more: str) -> Program:
        """Start engine, orchestrator and service, at any free port."""
        return self.stay("run", "--port", "0", **more)

    def __call__(self, *arguments: str, **more: str) -> Ended:
        """Give a command, and wait for its end."""
        program = self.start(*arguments, **self.settings, **more)
        code = program.wait()
        return Ended(code=code, out="\n".join(program.stdout), err="\n".join(program.stderr))

    def document(self, *arguments: str, **more: str) -> Any:
        """Give a command that must succeed, and read the JSON that it prints."""
        ended = self(*arguments, "--json", **more)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    def deploy(self, model: str | Path = DECISION) -> None:
        """Deploy a model."""
        ended = self("deploy", str(model))
        assert ended.code == 0, ended.err

    def begin(self, key: str, variables: Mapping[str, Any]) -> str:
        """Start an instance, and give its id."""
        given = [f"-v{name}={value}" for name, value in variables.items()]
        started = self.document("start", key, *given)
        identifier: str = started["process_instance_id"]
        return identifier

    def only_thread(self, instance: str) -> Any:
        """Read the one thread of an instance, with its turns."""
        (listed,) = self.document("threads", "list", "--instance", instance)["threads"]
        return self.document("threads", "show", listed["thread_id"])
