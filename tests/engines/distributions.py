"""Engines as Maven fetches them, kept outside the tree and shared by all checkouts."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.engines.java import NothingThere, find_java, find_maven

HERE = Path(__file__).resolve().parent
FETCHING_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Distribution:
    """An engine that a small Maven project puts together; the project's folder is its name."""

    name: str
    title: str
    java: int = 17
    megabytes: int = 384

    @property
    def folder(self) -> Path:
        """Where it is kept: another place for every change of its project."""
        digest = hashlib.sha256()
        for file in (HERE / self.name / "pom.xml", *sorted((HERE / "starter").rglob("*.java"))):
            digest.update(file.read_bytes())
        return cache() / f"{self.name}-{digest.hexdigest()[:12]}"

    @property
    def is_fetched(self) -> bool:
        return self.folder.is_dir()

    def fetch(self) -> None:
        """Have Maven fetch and put it together, unless it is there.

        Raises:
            NothingThere: Java or Maven is missing.
            CalledProcessError: Maven failed; it has said why.
        """
        if self.is_fetched:
            return
        java, maven = find_java(at_least=self.java), find_maven()
        cache().mkdir(parents=True, exist_ok=True)
        # Beside its place, so that it appears there whole or not at all.
        with tempfile.TemporaryDirectory(dir=cache()) as temporary:
            target = Path(temporary) / "engine"
            subprocess.run(
                [
                    *(maven, "--quiet", "--batch-mode", "--file", str(HERE / self.name)),
                    f"-Dengine.directory={target}",
                    "compile",
                ],
                check=True,
                timeout=FETCHING_SECONDS,
                env={**os.environ, "JAVA_HOME": str(java.home)},
            )
            try:
                target.rename(self.folder)
            except OSError:
                # Somebody else was quicker.
                if not self.is_fetched:
                    raise

    def command(self, *classes: str) -> list[str]:
        """Give the command that starts it, from `classes` in its folder; options are to follow.

        Raises:
            NothingThere: Java is missing, or the engine was not fetched.
        """
        java = find_java(at_least=self.java)
        if not self.is_fetched:
            raise NothingThere(f"{self.title} was not fetched: run make engines")
        return [
            *_bounded(),
            java.program,
            f"-Xmx{self.megabytes}m",
            *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-cp", os.pathsep.join(str(self.folder / each) for each in classes)),
        ]


OPERATON = Distribution("operaton", "Operaton 1.0.3")
CAMUNDA_7 = Distribution("camunda7", "Camunda 7.24.0")
CAMUNDA_8 = Distribution("camunda8", "Camunda 8.6.0", java=21, megabytes=512)
DISTRIBUTIONS = (OPERATON, CAMUNDA_7, CAMUNDA_8)


def cache() -> Path:
    """Give the folder that engines are kept in."""
    above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(above) / "dadm-test-engines"


def _bounded() -> list[str]:
    """Give what ends a program after half an hour, should nobody be left to do it."""
    program = shutil.which("timeout")
    return [program, "--kill-after=10", "1800"] if program else []
