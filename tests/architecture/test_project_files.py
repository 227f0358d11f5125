"""What the project's files say agrees: documents with source, notices and contracts with dependencies."""

import configparser
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.imports import imports_of
from tools import architecture_map

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^(?P<name>[\w.-]+)==", re.MULTILINE)
# Where a package says it in words of its own.
SAME_LICENCE = {"lGPLv3": "LGPL-3.0", "ISC License": "ISC", "MIT License": "MIT"}

# Put together here, so that this file does not hold what it looks for.
HOSTS_OF_REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("anaconda", "org"),
    )
)
PLACE_ON_A_MACHINE = re.compile(r"(?<![\w.\-/])/(?:home|Users|root|work)/[\w.]")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: Path) -> set[str]:
    return {normalized(name) for name in PIN.findall(lock.read_text(encoding="utf-8"))}


def noticed() -> dict[str, str]:
    """Return the licence that NOTICE gives, by package."""
    row = re.compile(r"^(?P<name>[\w.-]+) {2,}(?P<licence>\S.*?) {2,}https?://\S+$", re.MULTILINE)
    return dict(row.findall((ROOT / "NOTICE").read_text(encoding="utf-8")))


def text_files() -> list[Path]:
    """List what is or would be committed, as far as it is text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()]


def test_the_architecture_page_lists_every_module() -> None:
    page = architecture_map.PAGE.read_text(encoding="utf-8")

    assert architecture_map.page_with(architecture_map.section(), page) == page, "run: make docs"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    logical_lines = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    requirements = [line for line in logical_lines if line and not line.lstrip().startswith("#")]

    assert requirements
    assert not [line for line in requirements if "==" not in line or "--hash=sha256:" not in line]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_does_not_say_where_packages_come_from(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")

    assert not re.search(r"://|^--|file:| @ ", text, re.MULTILINE)


def test_locks_agree_on_versions() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(
            r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE
        ):
            versions.setdefault(name, set()).add(version)

    assert not {name: found for name, found in versions.items() if len(found) > 1}


def test_every_installed_package_is_noticed() -> None:
    installed = pinned(ROOT / "requirements" / "runtime.txt")
    model = pinned(ROOT / "requirements" / "model.txt")

    assert set(noticed()) == installed | model


def licence_in_metadata(package: str) -> str | None:
    """Return the package's own words; None where it is not for this platform, or names a family alone."""
    try:
        metadata = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    for field in ("License-Expression", "License"):
        if field in metadata:
            return SAME_LICENCE.get(metadata[field], metadata[field])
    return None


def test_a_notice_gives_the_licence_that_the_package_gives() -> None:
    said = {package: licence_in_metadata(package) for package in noticed()}

    assert sum(licence is not None for licence in said.values()) > len(said) / 2
    assert {name: licence for name, licence in said.items() if licence} == {
        name: licence for name, licence in noticed().items() if said[name]
    }


def declared() -> set[str]:
    """Return the packages that pyproject.toml says dadm needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["local"]]
    return {normalized(re.split(r"[\[<>=!~ ]", entry)[0]) for entry in listed}


def modules_of(packages: set[str]) -> set[str]:
    """Return the top-level modules that the packages install, private ones left out."""
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if packages & {normalized(owner) for owner in owners}
        and module.isidentifier()
        and not module.startswith("_")
    }


def test_every_third_party_import_is_a_declared_dependency() -> None:
    imported = {
        name.partition(".")[0]
        for module in (ROOT / "src").rglob("*.py")
        for name in imports_of(module)
    }

    assert imported - set(sys.stdlib_module_names) - {"dadm"} <= modules_of(declared())


def test_the_core_is_closed_to_every_dependency() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    closed = set(contracts["importlinter:contract:core"]["forbidden_modules"].split())

    assert modules_of(declared()) <= closed


def test_no_file_names_a_registry() -> None:
    pattern = re.compile("|".join(re.escape(host) for host in HOSTS_OF_REGISTRIES))
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in text_files()
        for match in pattern.finditer(file.read_text(encoding="utf-8", errors="replace"))
    ]

    assert not found


def test_no_file_holds_a_path_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in text_files()
        for match in PLACE_ON_A_MACHINE.finditer(file.read_text(encoding="utf-8", errors="replace"))
    ]

    assert not found
