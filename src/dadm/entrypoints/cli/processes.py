"""`dadm deploy`, `start` and `message`: what sets processes going."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dadm.entrypoints.cli.failures import REFUSED, tell_failure
from dadm.entrypoints.cli.options import AsJson, Database, Variables, VariablesFile
from dadm.entrypoints.cli.output import print_facts, print_json, print_table
from dadm.entrypoints.cli.running import Opened, with_database
from dadm.entrypoints.cli.variables import read_variables

if TYPE_CHECKING:
    from dadm.ports.engine import ProcessDefinition, ProcessInstance

Tenant = Annotated[
    str, typer.Option("--tenant", help="Whose process it is, where there are several.")
]


def deploy(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", exists=True, dir_okay=False, readable=True, help="Models in BPMN."
        ),
    ],
    tenant: Tenant = "",
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Deploy models, all of them or none; an unchanged model keeps its version.

    A model with elements that would not run as meant is refused, by element and line.
    """
    from dadm.entrypoints.cli.documents import definition_json

    documents = _documents(files)
    found: Sequence[ProcessDefinition] = with_database(
        lambda opened: opened.engine.deploy(documents, tenant=tenant), database=database
    )
    if as_json:
        print_json({"definitions": [definition_json(each) for each in found]})
        return
    print_table(
        ("process", "version", "name", "definition"),
        [(each.key, each.version, each.name, each.definition_id) for each in found],
        empty="The files hold no process.",
    )


def start(
    *,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The process's id in its model.")],
    variables: Variables = None,
    variables_file: VariablesFile = None,
    business_key: Annotated[
        str, typer.Option("--business-key", help="A name of your own for the instance.")
    ] = "",
    tenant: Tenant = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Show where it stands until it has ended.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Start an instance of the latest version of a process.

    Its AI tasks are worked by `dadm run` or `dadm work`, which may run in another process.
    """
    from dadm.entrypoints.cli.documents import whole_instance_json
    from dadm.entrypoints.cli.watching import watch

    given = read_variables(variables, variables_file)

    def tell(line: str) -> None:
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

    async def begin(opened: Opened) -> "ProcessInstance":
        instance = await opened.engine.start(
            key, variables=given, business_key=business_key, tenant=tenant
        )
        if wait:
            tell(f"started {instance.instance_id}")
            return await watch(opened.engine, instance.instance_id, tell)
        return instance

    instance = with_database(begin, database=database)
    if as_json:
        print_json(whole_instance_json(instance))
        return
    print_facts(
        [
            ("instance", instance.instance_id),
            ("process", instance.definition_id),
            ("state", instance.state.value),
            ("waiting at", instance.waiting_at),
            *(sorted(instance.variables.items()) if wait else ()),
        ]
    )


def message(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The message's name in the model.")],
    instance: Annotated[
        str, typer.Option("--instance", help="Only this instance may take it.")
    ] = "",
    variables: Variables = None,
    variables_file: VariablesFile = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Hand a message to the instances that wait for it.

    Exit status 4 says that none did.
    """
    given = read_variables(variables, variables_file)
    count = with_database(
        lambda opened: opened.engine.correlate_message(name, instance_id=instance, variables=given),
        database=database,
    )
    if as_json:
        print_json({"message": name, "taken_by": count})
    elif count:
        print(f"{count} {'instance' if count == 1 else 'instances'} took the message.")
    if not count:
        tell_failure(f"No instance waits for a message called {name!r}; nothing was changed.")
        raise typer.Exit(REFUSED)


def _documents(files: Sequence[Path]) -> dict[str, bytes]:
    """Read the files by their names.

    Raises:
        BadParameter: Two have one name, or one cannot be read.
    """
    documents: dict[str, bytes] = {}
    for file in files:
        if file.name in documents:
            msg = f"two files are called {file.name}; deploy one after the other."
            raise typer.BadParameter(msg, param_hint="FILE")
        try:
            documents[file.name] = file.read_bytes()
        except OSError as error:
            msg = f"{file} cannot be read: {error.strerror}."
            raise typer.BadParameter(msg, param_hint="FILE") from error
    return documents
