"""JSON documents: what goes in comes out, whatever a user's keys look like."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.documents import decode_document, encode_document
from tiercel.errors import DecodeError, EncodeError

NAMES = st.sampled_from(["$bytes", "$datetime", "$$bytes", "$", "a", ""]) | st.text(max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.datetimes()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20)


@given(VALUES)
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    assert decode_document(encode_document(value)) == value


@given(VALUES)
def test_the_text_is_plain_json_on_one_line(value: Any) -> None:
    text = encode_document(value)
    json.loads(text)
    assert not any(character < " " for character in text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, {("a",): 1}, "\ud800", 1j])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(EncodeError):
        encode_document({"inner": [value]})


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(EncodeError):
        encode_document(value)


@pytest.mark.parametrize("text", ["", "{", "nope", '{"$bytes": "not base64!"}', '{"$datetime": "soon"}', b"\xff"])
def test_what_is_no_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(DecodeError):
        decode_document(text)


def test_plain_json_of_other_writers_is_read_as_it_is() -> None:
    assert decode_document('{"a": [1, 2.5, null], "$ref": "x"}') == {"a": [1, 2.5, None], "$ref": "x"}
