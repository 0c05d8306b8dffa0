"""Values that are decoded on each hit, and callers that change what they share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.local.conftest import MakeTable
from tiercel.errors import ConfigurationError, DecodeError, SharedValueMutated
from tiercel.local import LocalView
from tiercel.typing import MISS


def decode(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError as error:
        raise DecodeError from error


def test_shared_values_are_the_object_itself(view: LocalView) -> None:
    value = {"a": 1}
    view.set("k", value, ttl_s=1)
    assert view.get("k") is value


def test_decoded_values_are_the_callers_own(make_table: MakeTable) -> None:
    view = make_table(copy="decode", decode=decode).view("acme")
    view.set("k", b'{"a": 1}', ttl_s=1)
    first: Any = view.get("k")
    first["a"] = 2
    assert view.get("k") == {"a": 1}
    assert view.get_many(["k"]) == {"k": {"a": 1}}
    entry = view.entry("k")
    assert entry is not None
    assert entry.value == {"a": 1}


def test_bytes_that_cannot_be_read_are_a_miss_and_go(make_table: MakeTable) -> None:
    table = make_table(copy="decode", decode=decode)
    view = table.view("acme")
    view.set("k", b"{", ttl_s=1)
    assert view.get("k") is MISS
    assert (table.stats().hits, table.stats().misses, table.stats().entries) == (0, 1, 0)


def test_only_bytes_can_be_decoded(make_table: MakeTable) -> None:
    view = make_table(copy="decode", decode=decode).view("acme")
    with pytest.raises(TypeError, match="encoded bytes, not dict"):
        view.set("k", {}, ttl_s=1)
    with pytest.raises(ConfigurationError, match="decode"):
        make_table(copy="decode")


@dataclass
class Price:
    cents: int


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: list[int]) -> None:
        self.inner = inner


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: {"a": [1]}, lambda value: value["a"].append(2)),
        (lambda: [{1}], lambda value: value[0].add(2)),
        (lambda: Price(1), lambda value: setattr(value, "cents", 2)),
        (lambda: Slotted([1]), lambda value: value.inner.append(2)),
        (lambda: bytearray(b"a"), lambda value: value.append(0)),
    ],
    ids=["dict", "set", "dataclass", "slots", "bytearray"],
)
def test_a_changed_value_is_told(make_table: MakeTable, make: Any, change: Any) -> None:
    value = make()
    view = make_table(detect_mutation=True).view("acme")
    view.set("k", value, ttl_s=1)
    assert view.get("k") is value
    change(value)
    with pytest.raises(SharedValueMutated, match=type(value).__name__):
        view.get("k")


def test_a_value_that_holds_itself_can_be_watched(make_table: MakeTable) -> None:
    value: list[Any] = [1]
    value.append(value)
    view = make_table(detect_mutation=True).view("acme")
    view.set("k", value, ttl_s=1)
    assert view.get("k") is value


def test_decorated_calls_unseal_too(make_table: MakeTable) -> None:
    view = make_table(copy="decode", decode=decode).view("acme")
    view.set("k", b"[1]", ttl_s=1)
    call = view.wrap(lambda key: None, lambda key: key, lambda key, args, kwargs: "slow")
    first = call("k")
    assert first == [1]
    assert call("k") is not first
