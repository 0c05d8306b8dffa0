"""
The PostgreSQL journal inside a transaction of the application's own.
"""

from __future__ import annotations

from psycopg import AsyncConnection

from tiercel._async.journals.payload import encode_draft
from tiercel._async.journals.postgres import AsyncPostgresJournal


async def test_a_write_is_journaled_if_and_only_if_the_transaction_commits(postgres_url: str) -> None:
    journal = AsyncPostgresJournal(postgres_url, "tiercel", "profile", 4)
    await journal.open()
    async with await AsyncConnection.connect(postgres_url) as connection:
        await connection.execute("CREATE TABLE orders (id integer)")
        await connection.commit()
        async with connection.transaction(force_rollback=True):
            await connection.execute("INSERT INTO orders VALUES (1)")
            await journal.append_in(connection, [encode_draft("acme", "a", 1, 1, 0.0)])
        assert (await journal.size()).rows == 0
        async with connection.transaction():
            await connection.execute("INSERT INTO orders VALUES (2)")
            (version,) = await journal.append_in(connection, [encode_draft("acme", "a", 2, 1, 0.0)])
    assert (await journal.newest("acme", ["a"]))["a"] == (2, version)
    await journal.aclose()
