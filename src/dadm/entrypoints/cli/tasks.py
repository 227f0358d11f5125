"""`dadm tasks`: what waits for people, listed and completed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dadm.entrypoints.cli.options import AsJson, Database, Limit, Variables, VariablesFile
from dadm.entrypoints.cli.output import print_json, print_table
from dadm.entrypoints.cli.running import with_database
from dadm.entrypoints.cli.variables import read_variables

if TYPE_CHECKING:
    from dadm.ports.engine import UserTask


def list_tasks(limit: Limit = 100, database: Database = None, as_json: AsJson = False) -> None:
    """List the tasks that wait for people, oldest first."""
    from dadm.entrypoints.cli.documents import user_task_json

    found: Sequence[UserTask] = with_database(
        lambda opened: opened.engine.user_tasks(limit=limit), database=database
    )
    if as_json:
        print_json({"tasks": [user_task_json(each) for each in found]})
        return
    print_table(
        ("task", "name", "instance", "what to do", "since"),
        [
            (
                each.task_id,
                each.name or each.element_id,
                each.instance_id,
                each.documentation,
                each.created_at,
            )
            for each in found
        ],
        empty="No task waits for a person.",
    )


def complete_task(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="As `dadm tasks list` names it.")],
    variables: Variables = None,
    variables_file: VariablesFile = None,
    database: Database = None,
) -> None:
    """Complete a task; what is given becomes process variables."""
    given = read_variables(variables, variables_file)
    with_database(
        lambda opened: opened.engine.complete_user_task(task_id, variables=given),
        database=database,
    )
    print(f"Task {task_id} is completed.")
