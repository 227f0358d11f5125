"""The Java that engines are built with and run on: the one that is named, else the newest found."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

NAMED = "DADM_TEST_JAVA_HOME"
FOLDERS = (Path("/usr/lib/jvm"), Path("/usr/java"), Path("/Library/Java/JavaVirtualMachines"))
_VERSION = re.compile(r'^JAVA_VERSION="(?:1\.)?(?P<major>\d+)', re.MULTILINE)


class NothingThere(Exception):
    """Java, Maven or an engine is missing on this machine; the message says which."""


@dataclass(frozen=True, slots=True, order=True)
class Java:
    """One JDK."""

    major: int
    home: Path

    @property
    def program(self) -> str:
        return str(self.home / "bin" / "java")


def find_java(*, at_least: int) -> Java:
    """Give the JDK that DADM_TEST_JAVA_HOME names, else the newest one here.

    Raises:
        NothingThere: There is none of that version.
    """
    named = os.environ.get(NAMED)
    found = max(_usable([Path(named)] if named else _candidates()), default=None)
    if found is None or found.major < at_least:
        asked = f"{NAMED}={named}" if named else "this machine"
        has = f"has Java {found.major}" if found else "has no JDK"
        raise NothingThere(f"{asked} {has}; Java {at_least} or newer is needed")
    return found


def find_maven() -> str:
    """Give the program that fetches engines.

    Raises:
        NothingThere: It is not installed.
    """
    program = shutil.which("mvn")
    if program is None:
        raise NothingThere("Maven (mvn) is not installed")
    return program


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("javac")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    if "JAVA_HOME" in os.environ:
        yield Path(os.environ["JAVA_HOME"])
    for folder in FOLDERS:
        for home in folder.glob("*"):
            yield home / "Contents" / "Home" if sys.platform == "darwin" else home


def _usable(homes: Iterable[Path]) -> Iterator[Java]:
    for home in homes:
        about = home / "release"
        if not about.is_file() or not (home / "bin" / "javac").is_file():
            continue
        version = _VERSION.search(about.read_text(encoding="utf-8"))
        if version:
            yield Java(int(version["major"]), home)
