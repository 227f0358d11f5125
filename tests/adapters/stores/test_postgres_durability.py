"""A PostgreSQL that may undo its commits says so."""

from urllib.parse import urlsplit

from dadm.adapters.stores.postgres import PostgresStore, open_postgres
from tests.databases import command


async def test_a_database_that_does_not_wait_for_its_disk_is_doubted(postgres_url: str) -> None:
    database = urlsplit(postgres_url).path.lstrip("/")
    await command(postgres_url, f'ALTER DATABASE "{database}" SET synchronous_commit = off')

    async with open_postgres(postgres_url) as opened:
        doubts = await PostgresStore(opened).doubts()

    assert len(doubts) == 1
    assert doubts[0].startswith("synchronous_commit is off on the database")
    assert doubts[0].endswith("Switch it on.")
