"""
The OpenAPI document, made from the table of endpoints and their types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from tiercel.service.dispatch import Endpoint

__all__ = ["document_of"]

_REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
_REFUSALS = {
    "400": "The request is wrong.",
    "401": "Nobody is signed in.",
    "403": "The role does not reach, or the token is missing.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "421": "Not a name of this service.",
    "503": "A tier, a store or a journal does not answer.",
}


def document_of(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """Return the document of the endpoints that are no pages."""
    table = [each for each in endpoints if not each.is_page]
    types = [kind for each in table for kind in (each.body, each.result) if kind is not None]
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for each in table:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tiercel operations", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "tiercel"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    kind = "text/plain" if endpoint.result is str else _JSON
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": _name(endpoint),
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint), *_token(endpoint)],
        "responses": {
            "200": {"description": "Done.", "content": {kind: {"schema": _schema(endpoint.result)}}},
            **{status: {"description": words} for status, words in _REFUSALS.items()},
        },
    }
    if endpoint.role is not None:
        operation["security"] = [{"session": []}]
        operation["x-role"] = endpoint.role
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": _schema(endpoint.body)}}}
    return operation


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", endpoint.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    fields = () if endpoint.query is None else msgspec.structs.fields(endpoint.query)
    return [
        {"name": field.encode_name, "in": "query", "required": field.required, "schema": _schema(field.type)}
        for field in fields
    ]


def _token(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.method == "GET":
        return []
    return [{"name": "X-CSRF-Token", "in": "header", "required": True, "schema": {"type": "string"}}]


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    return schema


def _name(endpoint: Endpoint) -> str:
    return "_".join([endpoint.method.lower(), *re.findall(r"\w+", endpoint.path)])
