"""
What Redis commands and their error replies mean to a client: where a command goes, whether it may be sent twice, and
what to do about an error.

Pure. The names of commands come from the command tables of Redis 7 and Valkey 9; an error's code is its first word.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tiercel.errors import ReplyError, TierError, TierTimeout, TierUnavailable

__all__ = [
    "Command",
    "ConnectionBroken",
    "NodeRefused",
    "Reaction",
    "Redirect",
    "Word",
    "is_node_fault",
    "is_repeatable",
    "reaction",
    "routing_key",
]

Word: TypeAlias = bytes | str | int | float
Command: TypeAlias = Sequence[Word]


class ConnectionBroken(TierUnavailable):
    """The connection was lost after the command was sent: it may have been carried out."""


class NodeRefused(TierUnavailable):
    """The node's breaker is open, or the retry budget is spent: nothing was sent, and nothing should be for now."""


class Reaction(enum.Enum):
    """What a caller does about an error."""

    RAISE = "raise"
    """Hand it to the caller."""
    FOLLOW = "follow"
    """The slot lives elsewhere: send the command there (MOVED), and remember."""
    ASK = "ask"
    """This one command belongs to another node while the slot moves (ASK)."""
    WAIT = "wait"
    """The node cannot serve right now: pause, then try again."""
    REFRESH = "refresh"
    """The picture of who serves what is out of date: fetch it, then try again."""


# The command was not carried out in any of these cases, so that it may always be sent again.
_WAIT_CODES = frozenset({"TRYAGAIN", "LOADING", "BUSY"})
_REFRESH_CODES = frozenset({"CLUSTERDOWN", "MASTERDOWN", "READONLY", "UNBLOCKED"})
# The node is not fit to serve, whoever asks: these count against its breaker. READONLY and OOM do not: reads still
# work.
_NODE_FAULTS = frozenset({"LOADING", "BUSY", "CLUSTERDOWN", "MASTERDOWN"})


def reaction(error: TierError, repeatable: bool) -> Reaction:
    """
    Say what to do about *error*.

    Args:
        error: What the command ended with.
        repeatable: Whether the command may be carried out twice; see `is_repeatable`.
    """
    if isinstance(error, ReplyError):
        return _reply_reaction(error.code)
    if isinstance(error, (NodeRefused, TierTimeout)):
        return Reaction.RAISE
    if isinstance(error, ConnectionBroken) and not repeatable:
        return Reaction.RAISE
    return Reaction.REFRESH if isinstance(error, TierUnavailable) else Reaction.RAISE


def _reply_reaction(code: str) -> Reaction:
    if code == "MOVED":
        return Reaction.FOLLOW
    if code == "ASK":
        return Reaction.ASK
    if code in _WAIT_CODES:
        return Reaction.WAIT
    return Reaction.REFRESH if code in _REFRESH_CODES else Reaction.RAISE


def is_node_fault(error: TierError) -> bool:
    """Say whether *error* speaks against the node, and not against the command alone."""
    if isinstance(error, ReplyError):
        return error.code in _NODE_FAULTS
    return not isinstance(error, NodeRefused)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a MOVED or ASK reply points."""

    slot: int
    address: str

    @classmethod
    def parse(cls, text: str, asked_host: str) -> Redirect:
        """
        Read ``"MOVED 3999 127.0.0.1:6381"``.

        A node that does not know its own address sends an empty host, which means the one that was asked.
        """
        _, slot, address = text.split(" ")[:3]
        host, _, port = address.rpartition(":")
        return cls(int(slot), f"{host or asked_host}:{port}")


# Carrying these out twice leaves the same state as once, and their reply is not counted on. Anything else that is sent
# again after a lost connection could count, append or take twice.
_REPEATABLE = frozenset(
    b"""
    GET MGET GETRANGE STRLEN EXISTS TTL PTTL EXPIRETIME PEXPIRETIME TYPE HGET HMGET HGETALL HEXISTS HLEN HKEYS HVALS
    HSCAN SMEMBERS SISMEMBER SMISMEMBER SCARD SSCAN ZRANGE ZRANGEBYSCORE ZREVRANGE ZSCORE ZMSCORE ZCARD ZCOUNT ZRANK
    ZSCAN LRANGE LLEN LINDEX XRANGE XREVRANGE XLEN XINFO XREAD XPENDING SCAN DBSIZE INFO PING TIME ECHO EVAL_RO
    EVALSHA_RO OBJECT MEMORY CLUSTER ROLE DUMP SCRIPT SET MSET SETEX PSETEX DEL UNLINK EXPIRE PEXPIRE EXPIREAT PEXPIREAT
    PERSIST HSET HDEL SADD SREM ZADD ZREM SETRANGE XACK XDEL XTRIM
    """.split()
)
# Of these, an option makes the outcome depend on what was there before.
_CONDITIONAL = {
    b"SET": frozenset({b"NX", b"XX", b"GET", b"IFEQ"}),
    b"ZADD": frozenset({b"INCR", b"NX", b"XX"}),
    b"EXPIRE": frozenset({b"NX", b"XX", b"GT", b"LT"}),
    b"PEXPIRE": frozenset({b"NX", b"XX", b"GT", b"LT"}),
}


def is_repeatable(command: Command) -> bool:
    """Say whether *command* may be sent again when nobody knows whether it was carried out."""
    name = _upper(command[0])
    if name not in _REPEATABLE:
        return False
    options = _CONDITIONAL.get(name)
    # The key and the value come first; they are data, whatever they spell.
    return options is None or not any(_upper(word) in options for word in command[3 if name == b"SET" else 2 :])


_KEYLESS = frozenset(
    b"""
    PING ECHO INFO TIME DBSIZE SCRIPT CONFIG CLIENT CLUSTER FLUSHALL FLUSHDB SCAN WAIT WAITAOF PUBLISH COMMAND ACL
    LATENCY SLOWLOG ROLE RANDOMKEY KEYS ASKING READONLY READWRITE SWAPDB LASTSAVE BGSAVE FUNCTION AUTH HELLO MULTI EXEC
    """.split()
)
# Where the first key stands, in words, where that is not right after the name.
_KEY_AT = {b"EVAL": 3, b"EVALSHA": 3, b"EVAL_RO": 3, b"EVALSHA_RO": 3, b"FCALL": 3, b"FCALL_RO": 3}
_KEY_AT |= dict.fromkeys((b"OBJECT", b"MEMORY", b"XINFO", b"XGROUP", b"BITOP"), 2)
_AFTER_STREAMS = frozenset({b"XREAD", b"XREADGROUP"})


def routing_key(command: Command) -> bytes | None:
    """Return the first key of *command*, or None for a command that names no key."""
    name = _upper(command[0])
    if name in _KEYLESS:
        return None
    if name in _AFTER_STREAMS:
        position = next((at for at, word in enumerate(command) if _upper(word) == b"STREAMS"), len(command)) + 1
    else:
        position = _KEY_AT.get(name, 1)
        if position == 3 and int(command[2]) == 0:
            return None
    return _as_bytes(command[position]) if position < len(command) else None


def _upper(word: Word) -> bytes:
    return _as_bytes(word).upper()


def _as_bytes(word: Word) -> bytes:
    if isinstance(word, bytes):
        return word
    return word.encode() if isinstance(word, str) else str(word).encode()
