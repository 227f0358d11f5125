"""The published validator of element templates, installed once for a run from its lock file."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

TEMPLATES, NO_VALIDATOR = "ELEMENT TEMPLATES", "their validator cannot be installed here"
HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", ".npmrc", "validate.mjs")
SECONDS = 60.0

Validate = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def validate_templates(tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """Give what the published validator says: for each template its id, whether it is valid, why not.

    Where Node or npm is missing, tests that ask for it are skipped and listed at the end of the
    run; with CI set they fail.
    """
    folder = tmp_path_factory.mktemp("element_templates")
    for name in FILES:
        shutil.copy(HERE / name, folder)
    try:
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or error
        reason = f"{NO_VALIDATOR}: it needs Node 20 or newer and npm ({said})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    def validate(templates: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = json.loads(
            _run(["node", "validate.mjs"], folder, given=json.dumps(templates))
        )
        return said

    return validate


def _run(command: list[str], folder: Path, *, given: str = "") -> str:
    return subprocess.run(
        command,
        cwd=folder,
        input=given,
        check=True,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    ).stdout
