"""`dadm demo` as a person runs it: two lives, a kill between them, and a proof that decides."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tests.acceptance.programs import DADM

SECONDS = 240


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Play it to its end; one that takes too long is stopped with the program it has started."""
    command = [DADM, "demo", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as playing:
        try:
            stdout, stderr = playing.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(playing.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, playing.returncode, stdout, stderr)


def test_the_demo_is_killed_half_way_continues_and_proves_what_it_claims(tmp_path: Path) -> None:
    played = demo("--keep", str(tmp_path))
    assert played.returncode == 0, played.stdout + played.stderr
    before, after = played.stdout.split("killed (SIGKILL")
    assert re.findall(r"\(turn (\d)", before) == ["1", "1", "2", "2"]
    assert sorted(re.findall(r"\(turn (\d)", after)) == ["3", "3", "4", "4"]
    assert before.count(" created)") == before.count(" reused)") == 2
    assert after.count(" reused)") == 4
    assert after.count("✓") == 14
    assert "✗" not in after
    assert "It holds." in after
    assert (tmp_path / "demo.sqlite").is_file()


def test_a_demo_that_cannot_begin_says_why_in_one_line() -> None:
    played = demo("--backend", "nonsense")
    assert played.returncode == 2
    assert "Traceback" not in played.stderr
    assert "DADM_BACKEND" in played.stderr
