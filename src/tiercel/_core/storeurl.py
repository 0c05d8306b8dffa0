"""
The parsed address of a store: ``scheme://…/database#table?key=id&tenant=tenant_id&version=version``.

The part before ``#`` goes to the driver; the fragment names the table (collection, index) and how its columns map.

- *Managed* (``#users``): Tiercel creates the table, with tenant, key, value document, version and deleted flag.
- *Mapped* (``#users?key=id``): the table exists; each of its columns is a field of the value, a dict, unless
  ``value=`` names the one column that holds the whole value.

Nothing here connects to anything. A wrong address raises `ConfigurationError`; passwords never appear in a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from tiercel.errors import ConfigurationError

__all__ = ["KeyType", "RowMapping", "StoreAddress", "parse_store_url", "redact_url"]

KeyType: TypeAlias = Literal["tagged", "text", "integer", "uuid", "bytes", "objectid"]

MAPPED_OPTIONS: Final = frozenset({"key", "key_type", "tenant", "version", "deleted", "value", "columns"})
SCHEMES: Final = {
    "sqlite": "sqlite",
    "postgres": "postgres",
    "postgresql": "postgres",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
    "elasticsearch": "elasticsearch",
    "elasticsearch+https": "elasticsearch",
    "opensearch": "opensearch",
    "opensearch+https": "opensearch",
    "memory": "memory",
}
IDENTIFIER: Final = re.compile(r"[^\W\d][\w$ -]{0,62}")
COLLECTION: Final = re.compile(r"[^\W\d][\w.-]{0,119}")
INDEX: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
SECRET_OPTION: Final = re.compile(r"(?i)((?:pass|pwd|secret|token|api_?key)[^=&]*=)[^&#]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMapping:
    """
    How a row's columns make a key, a value and a version.

    Args:
        table: Table, collection or index; for SQL one or two parts (schema, table).
        managed: Tiercel owns the table and its layout.
        key: Column of the key.
        key_type: How keys are spelled in that column; None to look it up in the database.
        tenant: Column of the tenant; None where all tenants share the rows.
        version: Column of the version; None where versions are kept in a side table.
        deleted: Column of the deleted flag; None where deleting removes the row.
        value: The one column that holds the value; None where every column is a field of it.
        columns: With ``value=None``, the columns that are fields; empty for all that are not named otherwise.
    """

    table: tuple[str, ...]
    managed: bool = True
    key: str = "key"
    key_type: KeyType | None = "tagged"
    tenant: str | None = "tenant"
    version: str | None = "version"
    deleted: str | None = "deleted"
    value: str | None = "value"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """
    Where a store is and how its rows look; its `repr` holds no password.

    Args:
        scheme: ``sqlite``, ``postgres``, ``mongodb``, ``elasticsearch``, ``opensearch`` or ``memory``.
        driver_url: The address as the driver wants it, with credentials.
        shown: The same for people: credentials replaced by ``***``.
        mapping: The table and its columns.
    """

    scheme: str
    driver_url: str = field(repr=False)
    shown: str
    mapping: RowMapping


def parse_store_url(url: str) -> StoreAddress:
    """Return the parts of *url*; raises `ConfigurationError` naming what is wrong and what is allowed."""
    shown = redact_url(url)
    base, _, fragment = url.partition("#")
    prefix = base.partition(":")[0].lower()
    scheme = SCHEMES.get(prefix)
    if scheme is None or "://" not in base:
        raise ConfigurationError(f"store URL {shown!r}: the scheme must be one of {', '.join(SCHEMES)}")
    table, _, query = fragment.partition("?")
    if not table:
        raise ConfigurationError(f"store URL {shown!r}: name the table after '#', for example '#users'")
    mapping = _mapping(scheme, unquote(table), _options(shown, query), shown)
    return StoreAddress(scheme=scheme, driver_url=_driver_url(scheme, prefix, base), shown=shown, mapping=mapping)


def redact_url(url: str) -> str:
    """Return *url* with its password and secret options replaced by ``***``."""
    head, separator, rest = url.partition("://")
    if not separator:
        return SECRET_OPTION.sub(r"\1***", url)
    cut = min((position for position in map(rest.find, "/?#") if position >= 0), default=len(rest))
    # An unescaped '/' in a password ends the authority early; then everything up to the last '@' is secret.
    at = rest.rfind("@", 0, cut) if "@" in rest[:cut] else rest.rfind("@")
    if at >= 0:
        user, colon, _ = rest[:at].partition(":")
        rest = (f"{user}:***" if colon else user) + rest[at:]
    return SECRET_OPTION.sub(r"\1***", head + separator + rest)


def _options(shown: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in MAPPED_OPTIONS:
            allowed = ", ".join(sorted(MAPPED_OPTIONS))
            raise ConfigurationError(f"store URL {shown!r}: unknown option {name!r}; allowed are {allowed}")
        if name in options:
            raise ConfigurationError(f"store URL {shown!r}: option {name!r} is given twice")
        options[name] = value
    return options


def _mapping(scheme: str, table: str, options: dict[str, str], shown: str) -> RowMapping:
    parts = _table_parts(scheme, table, shown)
    if not options:
        return RowMapping(table=parts)
    if "key" not in options:
        raise ConfigurationError(f"store URL {shown!r}: a mapped table needs key=COLUMN beside {', '.join(options)}")
    columns = tuple(name.strip() for name in options.get("columns", "").split(",") if name.strip())
    value = options.get("value", "*")
    if value != "*" and columns:
        raise ConfigurationError(f"store URL {shown!r}: value={value} and columns={','.join(columns)}: give one")
    for name in (*(options[each] for each in ("key", "tenant", "version", "deleted") if each in options), *columns):
        _check(IDENTIFIER, name, "column", shown)
    if value != "*":
        _check(IDENTIFIER, value, "column", shown)
    return RowMapping(
        table=parts,
        managed=False,
        key=options["key"],
        key_type=_key_type(scheme, options.get("key_type"), shown),
        tenant=options.get("tenant"),
        version=options.get("version"),
        deleted=options.get("deleted"),
        value=None if value == "*" else value,
        columns=columns,
    )


def _table_parts(scheme: str, table: str, shown: str) -> tuple[str, ...]:
    if scheme == "mongodb":
        return (_check(COLLECTION, table, "collection", shown),)
    if scheme in ("elasticsearch", "opensearch"):
        return (_check(INDEX, table, "index", shown),)
    parts = tuple(_check(IDENTIFIER, part, "table", shown) for part in table.split("."))
    if len(parts) > 2:
        raise ConfigurationError(f"store URL {shown!r}: table {table!r} has more than a schema and a name")
    return parts


def _check(pattern: re.Pattern[str], name: str, noun: str, shown: str) -> str:
    if pattern.fullmatch(name) is None:
        raise ConfigurationError(f"store URL {shown!r}: {noun} name {name!r} must match {pattern.pattern}")
    return name


def _key_type(scheme: str, name: str | None, shown: str) -> KeyType | None:
    if name is None:
        return None if scheme in ("sqlite", "postgres") else "text"
    if name not in get_args(KeyType):
        raise ConfigurationError(f"store URL {shown!r}: key_type={name}: allowed are {', '.join(get_args(KeyType))}")
    return cast("KeyType", name)


def _driver_url(scheme: str, prefix: str, base: str) -> str:
    if scheme == "sqlite":
        return _sqlite_path(base)
    if scheme in ("elasticsearch", "opensearch"):
        return ("https" if prefix.endswith("+https") else "http") + base[len(prefix) :]
    return base


def _sqlite_path(base: str) -> str:
    """``sqlite:///a.db`` is relative, ``sqlite:////var/a.db`` absolute, ``sqlite://`` or ``:memory:`` in memory."""
    parts = urlsplit(base)
    if parts.netloc or parts.query:
        raise ConfigurationError(f"store URL {base!r}: write sqlite:///relative.db or sqlite:////absolute.db")
    return unquote(parts.path[1:]) or ":memory:"
