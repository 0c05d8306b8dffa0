"""PostgreSQL's replication messages are read as the manual writes them; anything else is a clear error."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.pgoutput import (
    Begin,
    Commit,
    KeepAlive,
    LogPiece,
    Relation,
    RowChanged,
    Truncated,
    decode_copy,
    decode_message,
    format_lsn,
    parse_lsn,
    status_update,
)
from tiercel.errors import DecodeError

SINCE_2000_US = 1_000_000
RELATION = Relation(7, "shop", "products", "f", ("sku", "category", "picture"), frozenset({"sku"}))
TABLES = {7: RELATION}


def text(value: str | None) -> bytes:
    """Return a value as it stands in a row."""
    if value is None:
        return b"n"
    return b"t" + struct.pack("!I", len(value.encode())) + value.encode()


def row(*values: bytes) -> bytes:
    return struct.pack("!H", len(values)) + b"".join(values)


OLD = row(text("p1"), text("a"), text("large"))
NEW = row(text("p1"), text("b"), b"u")
DESCRIPTION = (
    b"R" + struct.pack("!I", 7) + b"shop\0products\0f" + struct.pack("!H", 3)
    + b"\1sku\0" + struct.pack("!Ii", 25, -1)
    + b"\0category\0" + struct.pack("!Ii", 25, -1)
    + b"\0picture\0" + struct.pack("!Ii", 25, -1)
)  # fmt: skip
SAMPLES = {
    "begin": b"B" + struct.pack("!QqI", 0x16, SINCE_2000_US, 5),
    "commit": b"C" + struct.pack("!BQQq", 0, 0x16, 0x17, SINCE_2000_US),
    "relation": DESCRIPTION,
    "insert": b"I" + struct.pack("!I", 7) + b"N" + OLD,
    "update": b"U" + struct.pack("!I", 7) + b"O" + OLD + b"N" + NEW,
    "plain update": b"U" + struct.pack("!I", 7) + b"N" + NEW,
    "delete": b"D" + struct.pack("!I", 7) + b"K" + row(text("p1"), b"n", b"n"),
    "truncate": b"T" + struct.pack("!IBI", 1, 0, 7),
}


def test_transactions() -> None:
    assert decode_message(SAMPLES["begin"], {}) == Begin(946_684_801.0)
    assert decode_message(SAMPLES["commit"], {}) == Commit(0x17, 946_684_801.0)
    assert decode_message(SAMPLES["truncate"], TABLES) == Truncated((7,))
    assert decode_message(SAMPLES["relation"], {}) == RELATION
    for ignored in (b"Y", b"O", b"M"):
        assert decode_message(ignored + b"whatever", {}) is None


def test_rows() -> None:
    whole = {"sku": "p1", "category": "a", "picture": "large"}
    assert decode_message(SAMPLES["insert"], TABLES) == RowChanged(7, True, None, whole)
    # The large value did not change, so the server sent it with the old image alone.
    assert decode_message(SAMPLES["update"], TABLES) == RowChanged(7, False, whole, {**whole, "category": "b"})
    assert decode_message(SAMPLES["plain update"], TABLES) == RowChanged(7, False, None, {"sku": "p1", "category": "b"})


def test_nulls_beside_an_old_key_mean_nothing() -> None:
    deleted = decode_message(SAMPLES["delete"], TABLES)
    assert deleted == RowChanged(7, False, {"sku": "p1"}, None)


@pytest.mark.parametrize(("identity", "known"), [("d", {"sku"}), ("i", {"sku"}), ("f", {"sku", "category", "picture"})])
def test_what_is_known_of_old_rows(identity: str, known: set[str]) -> None:
    message = DESCRIPTION.replace(b"products\0f", b"products\0" + identity.encode())
    relation = decode_message(message, {})
    assert isinstance(relation, Relation)
    assert relation.known_of_old == known


def test_only_wanted_values_are_read() -> None:
    wanting = Relation(7, "shop", "products", "f", RELATION.columns, frozenset(), frozenset({"category"}))
    changed = decode_message(SAMPLES["update"], {7: wanting})
    assert changed == RowChanged(7, False, {"category": "a"}, {"category": "b"})


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_cut_anywhere_or_too_long_is_an_error(name: str) -> None:
    message = SAMPLES[name]
    for length in range(len(message)):
        with pytest.raises(DecodeError):
            decode_message(message[:length], TABLES)
    with pytest.raises(DecodeError, match="too many"):
        decode_message(message + b"\0", TABLES)


@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_a_damaged_message_is_read_or_refused_never_worse(name: str, place: int, junk: bytes) -> None:
    message = bytearray(SAMPLES[name])
    at = place % len(message)
    message[at : at + len(junk)] = junk
    try:
        decode_message(bytes(message), TABLES)
    except DecodeError as error:
        assert "change" in str(error) or "row" in str(error) or "value" in str(error) or "table" in str(error)  # noqa: PT017


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(DecodeError, match="never described"):
        decode_message(SAMPLES["insert"], {})


def test_frames() -> None:
    piece = decode_copy(b"w" + struct.pack("!QQq", 1, 2, 3) + b"message")
    assert piece == LogPiece(1, b"message")
    assert decode_copy(b"k" + struct.pack("!QqB", 9, 0, 1)) == KeepAlive(9, wants_reply=True)
    for wrong in (b"", b"w123", b"k1", b"x" * 40, b"k" + bytes(18)):
        with pytest.raises(DecodeError):
            decode_copy(wrong)


def test_the_answer_tells_one_position_three_times() -> None:
    frame = status_update(0x1600000017, 946_684_801.0, wants_reply=True)
    assert struct.unpack("!cQQQqB", frame) == (b"r", *[0x1600000017] * 3, SINCE_2000_US, 1)


def test_positions() -> None:
    assert parse_lsn("16/B374D848") == 0x16B374D848
    assert format_lsn(0x16B374D848) == "16/B374D848"
    assert parse_lsn(format_lsn(0)) == 0
    for wrong in ("", "16", "x/1", "1/", "/"):
        with pytest.raises(DecodeError):
            parse_lsn(wrong)
