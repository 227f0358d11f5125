"""`dadm incidents`: what stopped instances, listed and tried again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dadm.entrypoints.cli.options import AsJson, Database, Limit, Variables, VariablesFile
from dadm.entrypoints.cli.output import print_json, print_table
from dadm.entrypoints.cli.running import with_database
from dadm.entrypoints.cli.variables import read_variables

if TYPE_CHECKING:
    from dadm.ports.engine import EngineIncident


def list_incidents(limit: Limit = 100, database: Database = None, as_json: AsJson = False) -> None:
    """List what stopped instances and waits for a person, oldest first."""
    from dadm.entrypoints.cli.documents import incident_json

    found: Sequence[EngineIncident] = with_database(
        lambda opened: opened.engine.incidents(limit=limit), database=database
    )
    if as_json:
        print_json({"incidents": [incident_json(each) for each in found]})
        return
    print_table(
        ("incident", "instance", "element", "message", "since"),
        [
            (each.incident_id, each.instance_id, each.element_id, each.message, each.created_at)
            for each in found
        ],
        empty="There are no incidents.",
    )


def retry_incident(
    incident_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `dadm incidents list` names it.")
    ],
    variables: Variables = None,
    variables_file: VariablesFile = None,
    retries: Annotated[
        int, typer.Option("--retries", min=1, max=1000, help="How many tries it gets.")
    ] = 3,
    database: Database = None,
) -> None:
    """Try again what stopped an instance, with changed variables if any are given.

    A task whose answer is recorded is not asked again; one that was refused is.
    """
    given = read_variables(variables, variables_file)
    with_database(
        lambda opened: opened.engine.retry_incident(incident_id, variables=given, retries=retries),
        database=database,
    )
    print(f"Incident {incident_id} is resolved; its work is tried again.")
