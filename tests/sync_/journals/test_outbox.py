# Generated from tests/async_/journals/test_outbox.py by tools/unasync.py. Do not edit.
"""
The PostgreSQL journal inside a transaction of the application's own.
"""

from __future__ import annotations

from psycopg import Connection

from tiercel._sync.journals.payload import encode_draft
from tiercel._sync.journals.postgres import PostgresJournal


def test_a_write_is_journaled_if_and_only_if_the_transaction_commits(postgres_url: str) -> None:
    journal = PostgresJournal(postgres_url, "tiercel", "profile", 4)
    journal.open()
    with Connection.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE orders (id integer)")
        connection.commit()
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO orders VALUES (1)")
            journal.append_in(connection, [encode_draft("acme", "a", 1, 1, 0.0)])
        assert (journal.size()).rows == 0
        with connection.transaction():
            connection.execute("INSERT INTO orders VALUES (2)")
            (version,) = journal.append_in(connection, [encode_draft("acme", "a", 2, 1, 0.0)])
    assert (journal.newest("acme", ["a"]))["a"] == (2, version)
    journal.close()
