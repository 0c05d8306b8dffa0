"""The opener says yes to what is plainly a fresh entry in force, and to nothing else; one suite for both."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.frame import HEADER_BYTES, Flag, Frame, State, pack, unpack
from tiercel._core.keys import hash64
from tiercel._core.tags import mix
from tiercel.codecs.opener import Memo, Opener, RecordOpener, best_opener
from tiercel.errors import DecodeError
from tiercel.typing import MISS

NAME = b"shop{}:acme:product=sku-42"
SCOPES = (101, 102, 103, 104)
TAG = 2**63 + 7
NOW_MS, NOW_S = 1_700_000_000_000, 5_000.0
VALUE = {"name": "Lamp", "price": 990}
DECODE = msgspec.msgpack.Decoder().decode
Make = Callable[[Memo, tuple[int, ...], int, Callable[[bytes], Any]], RecordOpener]


def native(tokens: Memo, scopes: tuple[int, ...], codec: int, decode: Callable[[bytes], Any]) -> RecordOpener:
    """Make the accelerator, or skip: it is optional."""
    module = pytest.importorskip("tiercel.codecs._native", reason="the accelerator was not built")
    opener: RecordOpener = module.Opener(tokens, scopes, codec, decode, MISS)
    return opener


@pytest.fixture(params=[Opener, native], ids=["reference", "native"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def memo(read_at: float = 4_999.0, ends: float = 6_000.0) -> dict[int, tuple[int, float, float]]:
    return {tag: (tag * 7, read_at, ends) for tag in (*SCOPES, TAG)}


GENERATION = mix(tag * 7 for tag in SCOPES)
STAMPS = ((0, GENERATION), (TAG, TAG * 7 % 2**64))


def tokens_for_tag() -> dict[int, tuple[int, float, float]]:
    tokens = memo()
    tokens[TAG] = (STAMPS[1][1], 4_999.0, 6_000.0)
    return tokens


def frame(**changes: Any) -> Frame:
    plain = Frame(
        State.LIVE,
        hash64(NAME),
        1,
        version=3,
        created_ms=NOW_MS - 1_000,
        fresh_until_ms=NOW_MS + 10_000,
        stale_until_ms=NOW_MS + 20_000,
        kept_until_ms=NOW_MS + 30_000,
        load_cost_us=20_000,
        tags=STAMPS,
        payload=msgspec.msgpack.encode(VALUE),
    )
    return plain._replace(**changes)


def opened(
    make: Make,
    record: object,
    *,
    name: bytes = NAME,
    tokens: dict[int, tuple[int, float, float]] | None = None,
    now_ms: int = NOW_MS,
    read_after_s: float = -math.inf,
    beta: float = 0.0,
    decode: Callable[[bytes], Any] = DECODE,
) -> Any:
    opener = make(tokens_for_tag() if tokens is None else tokens, SCOPES, 1, decode)
    return opener.open(name, record, now_ms, NOW_S, read_after_s, beta)


def test_a_plain_hit_gives_its_value(make: Make) -> None:
    assert opened(make, pack(frame())) == VALUE
    assert opened(make, pack(frame(tags=STAMPS[:1]))) == VALUE
    assert opened(make, pack(frame(lease_token=9, lease_until_ms=NOW_MS + 5, is_awaited=True))) == VALUE


@pytest.mark.parametrize("size_bytes", [0, 1, 7, 8, 9, 127, 128, 129, 1_000, 70_000])
def test_every_length_of_name_and_payload_is_hashed_right(make: Make, size_bytes: int) -> None:
    name, payload = b"n" * size_bytes, msgspec.msgpack.encode(b"v" * size_bytes)
    record = pack(frame(key_hash=hash64(name), payload=payload))
    assert opened(make, record, name=name) == b"v" * size_bytes


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.STALE},
        {"state": State.TOMBSTONE},
        {"state": State.LEASED},
        {"flags": Flag.NEGATIVE},
        {"flags": Flag.COMPRESSED},
        {"codec": 2},
        {"key_hash": 1},
        {"fresh_until_ms": NOW_MS},
        {"fresh_until_ms": 0},
        {"created_ms": NOW_MS + 10_000},
        {"tags": ()},
        {"tags": STAMPS[1:]},
        {"tags": ((0, GENERATION + 1),)},
        {"tags": (STAMPS[0], (TAG, 1))},
        {"tags": (STAMPS[0], (TAG + 1, 1))},
        {"tags": (STAMPS[0], (TAG + 1, 0))},
        {"tags": (STAMPS[0], (1, 1))},
        {"tags": (*STAMPS, (0, GENERATION))},
        {"payload": b""},
        {"payload": b"\xc1"},
    ],
    ids=repr,
)
def test_anything_else_takes_a_closer_look(make: Make, changes: dict[str, Any]) -> None:
    assert opened(make, pack(frame(**changes))) is MISS


@pytest.mark.parametrize("record", [None, b"", b"Tc", 5, "text", bytearray(pack(frame())), [pack(frame())]])
def test_what_is_no_record_takes_a_closer_look(make: Make, record: object) -> None:
    assert opened(make, record) is MISS


def test_no_damaged_byte_is_ever_read_as_the_value(make: Make) -> None:
    record = pack(frame())
    unprotected = {*range(7, 8), *range(24, 80)}  # what scripts change: times, lease, floor, who waits
    for at in range(len(record)):
        damaged = record[:at] + bytes([record[at] ^ 0x40]) + record[at + 1 :]
        answer = opened(make, damaged)
        assert answer is MISS if at not in unprotected else answer in (MISS, VALUE), at
        assert opened(make, record[:at]) is MISS
    assert opened(make, record + b"\0") is MISS


def test_a_token_that_is_unknown_old_or_ended_takes_a_closer_look(make: Make) -> None:
    record = pack(frame())
    for tag in (*SCOPES, TAG):
        tokens = tokens_for_tag()
        del tokens[tag]
        assert opened(make, record, tokens=tokens) is MISS
        tokens = tokens_for_tag()
        tokens[tag] = (tokens[tag][0], 4_000.0, NOW_S)
        assert opened(make, record, tokens=tokens) is MISS
        tokens[tag] = (tokens[tag][0], 4_000.0, 6_000.0)
        assert opened(make, record, tokens=tokens) == VALUE
        assert opened(make, record, tokens=tokens, read_after_s=4_000.0) is MISS


def test_a_memo_changed_meanwhile_counts_at_once(make: Make) -> None:
    tokens = tokens_for_tag()
    opener = make(tokens, SCOPES, 1, DECODE)
    record = pack(frame())
    assert opener.open(NAME, record, NOW_MS, NOW_S, -math.inf, 0.0) == VALUE
    tokens.clear()
    assert opener.open(NAME, record, NOW_MS, NOW_S, -math.inf, 0.0) is MISS


def test_a_record_that_some_draw_would_refresh_early_takes_a_closer_look(make: Make) -> None:
    record = pack(frame(load_cost_us=1_000_000))
    assert opened(make, record, beta=0.25) == VALUE
    assert opened(make, record, beta=1.0) is MISS


def test_many_records_are_opened_in_order_with_the_size_of_what_was_read(make: Make) -> None:
    opener = make(tokens_for_tag(), SCOPES, 1, DECODE)
    plain, moment = pack(frame()), (NOW_MS, NOW_S, -math.inf, 0.0)
    names = [NAME, b"other", NAME, NAME, NAME]
    values, size_bytes = opener.open_many(names, [plain, plain, None, plain, plain[:-1]], *moment)
    assert values == [VALUE, MISS, MISS, VALUE, MISS]
    assert size_bytes == 2 * len(frame().payload)
    assert opener.open_many([], [], *moment) == ([], 0)
    with pytest.raises((TypeError, ValueError)):
        opener.open_many([NAME], [], *moment)


def test_an_interrupt_in_the_decoder_goes_through(make: Make) -> None:
    def interrupted(_: bytes) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(make, pack(frame()), decode=interrupted)


words = st.integers(0, 2**64 - 1)
near_now = st.integers(NOW_MS - 3, NOW_MS + 3)
stamps = st.lists(st.sampled_from([*STAMPS, (0, 5), (1, 1), (TAG, 3), (101, 707)]), max_size=4).map(tuple)
frames = st.builds(
    frame,
    state=st.sampled_from(State),
    codec=st.sampled_from([1, 1, 1, 2, 255]),
    flags=st.sampled_from([Flag.NONE, Flag.NONE, Flag.NONE, *Flag]),
    version=words,
    created_ms=near_now,
    fresh_until_ms=near_now,
    lease_token=words,
    load_cost_us=st.integers(0, 2**32 - 1),
    is_awaited=st.booleans(),
    tags=st.one_of(st.just(STAMPS), stamps),
    payload=st.one_of(st.just(msgspec.msgpack.encode(VALUE)), st.binary(max_size=40)),
)


@given(frames, st.integers(0, 2**32), st.booleans(), st.floats(0, 2), st.sampled_from([-math.inf, 4_998.0, 4_999.0]))
def test_both_say_the_same_and_never_more_than_the_careful_way(
    made: Frame, seed: int, is_damaged: bool, beta: float, read_after_s: float
) -> None:
    record = pack(made)
    if is_damaged:
        at = random.Random(seed).randrange(len(record))
        record = record[:at] + bytes([record[at] ^ 1 << seed % 8]) + record[at + 1 :]
    said = opened(Opener, record, beta=beta, read_after_s=read_after_s)
    assert said == opened(native, record, beta=beta, read_after_s=read_after_s)
    if said is not MISS:
        careful = unpack(record, hash64(NAME))
        assert careful.state is State.LIVE
        assert careful.fresh_until_ms > NOW_MS
        assert careful.tags[0] == STAMPS[0]
        assert said == DECODE(careful.payload)
    else:
        with pytest.raises((DecodeError, AssertionError)):
            _judge_plain(record, beta, read_after_s)


def _judge_plain(record: bytes, beta: float, read_after_s: float) -> None:
    """Fail where the careful way finds a plain hit, too: then the opener should have said yes."""
    careful = unpack(record, hash64(NAME))
    left_ms = careful.fresh_until_ms - max(NOW_MS, careful.created_ms)
    assert (careful.state, careful.codec, careful.flags) == (State.LIVE, 1, Flag.NONE)
    assert left_ms > careful.load_cost_us * beta * 37 / 1000
    assert left_ms > 0
    assert careful.tags
    assert careful.tags[0] == STAMPS[0]
    assert set(careful.tags[1:]) <= {STAMPS[1], (101, 707)}
    assert read_after_s < 4_999.0
    try:
        DECODE(careful.payload)
    except (ValueError, msgspec.MsgspecError) as error:
        raise DecodeError from error


def test_the_best_opener_is_the_native_one_where_it_was_built() -> None:
    pytest.importorskip("tiercel.codecs._native", reason="the accelerator was not built")
    assert type(best_opener({}, SCOPES, 1, DECODE)).__module__ == "tiercel.codecs._native"


def test_the_header_has_the_length_that_both_count_with() -> None:
    assert HEADER_BYTES == 92
