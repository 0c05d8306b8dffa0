"""Where commands go, which may be sent twice, and what errors ask for."""

from __future__ import annotations

import pytest

from tiercel._core.resp import (
    ConnectionBroken,
    NodeRefused,
    Reaction,
    Redirect,
    is_node_fault,
    is_repeatable,
    reaction,
    routing_key,
)
from tiercel.errors import ReplyError, TierError, TierTimeout, TierUnavailable


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "a"), b"a"),
        ((b"get", b"a"), b"a"),
        (("MGET", 7, "b"), b"7"),
        (("EVALSHA", "sha", 2, "k1", "k2", "x"), b"k1"),
        (("EVAL", "source", "1", "k1"), b"k1"),
        (("EVAL", "source", 0, "x"), None),
        (("FCALL", "f", 1, "k"), b"k"),
        (("XREAD", "COUNT", 1, "BLOCK", 5, "STREAMS", "s1", "s2", "$", "$"), b"s1"),
        (("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"), b"s"),
        (("XREAD",), None),
        (("XGROUP", "CREATE", "s", "g", "$"), b"s"),
        (("OBJECT", "ENCODING", "k"), b"k"),
        (("BITOP", "AND", "to", "from"), b"to"),
        (("PING",), None),
        (("FLUSHALL", "ASYNC"), None),
        (("SCRIPT", "LOAD", "return 1"), None),
    ],
)
def test_a_command_is_routed_by_its_first_key(command: tuple[str | int, ...], key: bytes | None) -> None:
    assert routing_key(command) == key


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("GET", "a"), True),
        (("set", "a", "b"), True),
        (("SET", "a", "b", "PX", 100), True),
        (("SET", "a", "b", "nx"), False),
        (("SET", "NX", "GET"), True),
        (("SET", "a", "b", "GET"), False),
        (("DEL", "a"), True),
        (("INCR", "a"), False),
        (("XADD", "s", "*", "f", "v"), False),
        (("LPUSH", "l", 1), False),
        (("EVALSHA", "sha", 1, "k"), False),
        (("ZADD", "z", 1, "m"), True),
        (("ZADD", "z", "INCR", 1, "m"), False),
        (("EXPIRE", "k", 5, "GT"), False),
        (("BLPOP", "l", 1), False),
    ],
)
def test_only_what_changes_nothing_twice_may_be_repeated(command: tuple[str | int, ...], expected: bool) -> None:
    assert is_repeatable(command) is expected


@pytest.mark.parametrize(
    ("error", "repeatable", "expected"),
    [
        (ReplyError("MOVED 1 h:1"), False, Reaction.FOLLOW),
        (ReplyError("ASK 1 h:1"), False, Reaction.ASK),
        (ReplyError("TRYAGAIN later"), False, Reaction.WAIT),
        (ReplyError("LOADING it is"), False, Reaction.WAIT),
        (ReplyError("BUSY script"), False, Reaction.WAIT),
        (ReplyError("CLUSTERDOWN it is"), False, Reaction.REFRESH),
        (ReplyError("MASTERDOWN link"), False, Reaction.REFRESH),
        (ReplyError("READONLY replica"), False, Reaction.REFRESH),
        (ReplyError("WRONGTYPE no"), True, Reaction.RAISE),
        (ReplyError("OOM full"), True, Reaction.RAISE),
        (ReplyError("NOSCRIPT no"), True, Reaction.RAISE),
        (TierUnavailable("refused"), False, Reaction.REFRESH),
        (ConnectionBroken("half-way"), True, Reaction.REFRESH),
        (ConnectionBroken("half-way"), False, Reaction.RAISE),
        (NodeRefused("breaker"), True, Reaction.RAISE),
        (TierTimeout("late"), True, Reaction.RAISE),
        (TierError("other"), True, Reaction.RAISE),
    ],
)
def test_every_error_has_its_reaction(error: TierError, repeatable: bool, expected: Reaction) -> None:
    assert reaction(error, repeatable) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ReplyError("LOADING x"), True),
        (ReplyError("BUSY x"), True),
        (ReplyError("CLUSTERDOWN x"), True),
        (ReplyError("READONLY x"), False),
        (ReplyError("OOM x"), False),
        (ReplyError("WRONGTYPE x"), False),
        (ReplyError("MOVED 1 h:1"), False),
        (TierTimeout("late"), True),
        (TierUnavailable("gone"), True),
        (NodeRefused("open"), False),
    ],
)
def test_only_the_nodes_own_faults_count_against_it(error: TierError, expected: bool) -> None:
    assert is_node_fault(error) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirect(3999, "127.0.0.1:6381")),
        ("ASK 7 :6382", Redirect(7, "asked:6382")),
        ("MOVED 7 ::1:6382", Redirect(7, "::1:6382")),
        ("MOVED 7 redis.internal:6382 extra", Redirect(7, "redis.internal:6382")),
    ],
)
def test_redirects_are_read(text: str, expected: Redirect) -> None:
    assert Redirect.parse(text, "asked") == expected
