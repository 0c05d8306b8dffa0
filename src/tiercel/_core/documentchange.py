"""
The images of a changed document, as MongoDB's change stream shows them.

Documents have no columns: a field that an image lacks is null. An image that the stream should show and does not (it
has expired, or was never kept) leaves open what the document was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tiercel._core.rowfall import UnknownColumn

__all__ = ["image_of", "images_of"]


def images_of(event: Mapping[str, Any], columns: Collection[str]) -> Iterator[Mapping[str, Any]]:
    """
    Yield the images before and after a change, as far as it has them.

    Args:
        event: One event of the stream.
        columns: What is needed; where the document's key says it all, no image is.

    Raises:
        UnknownColumn: An image is missing.
    """
    key = event.get("documentKey", {})
    if set(columns) <= key.keys():
        yield key
        return
    kind = event["operationType"]
    if kind in ("update", "replace", "delete"):
        yield _shown(event, "fullDocumentBeforeChange", "was")
    if kind in ("update", "replace", "insert"):
        yield _shown(event, "fullDocument", "became")


def _shown(event: Mapping[str, Any], name: str, verb: str) -> Mapping[str, Any]:
    image = event.get(name)
    if not isinstance(image, Mapping):
        raise UnknownColumn(f"a change does not show what the document {verb}")
    return image


def image_of(image: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return the *columns* of a document; a dot reaches into it, and what is not there is None."""
    return {column: _reached(image, column) for column in columns}


def _reached(image: Mapping[str, Any], column: str) -> Any:
    if column in image:
        return image[column]
    value: Any = image
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
