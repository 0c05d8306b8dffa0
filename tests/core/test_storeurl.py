"""Store URLs: what they may say, what they must not, and that they keep their secrets."""

from __future__ import annotations

import pytest

from tiercel._core.storeurl import RowMapping, parse_store_url, redact_url
from tiercel.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "scheme", "driver_url", "table"),
    [
        ("sqlite:///shop.db#users", "sqlite", "shop.db", ("users",)),
        ("sqlite:////var/lib/a%20b.db#users", "sqlite", "/var/lib/a b.db", ("users",)),
        ("sqlite://#users", "sqlite", ":memory:", ("users",)),
        ("sqlite:///:memory:#users", "sqlite", ":memory:", ("users",)),
        ("postgres://u@h:1/db?sslmode=on#app.users", "postgres", "postgres://u@h:1/db?sslmode=on", ("app", "users")),
        ("postgresql://h/db#users", "postgres", "postgresql://h/db", ("users",)),
        ("mongodb://a,b/shop?replicaSet=r#products", "mongodb", "mongodb://a,b/shop?replicaSet=r", ("products",)),
        ("mongodb+srv://h/shop#a.b", "mongodb", "mongodb+srv://h/shop", ("a.b",)),
        ("elasticsearch://h:9200#metrics-2026", "elasticsearch", "http://h:9200", ("metrics-2026",)),
        ("elasticsearch+https://h:9200#m", "elasticsearch", "https://h:9200", ("m",)),
        ("opensearch://h#m", "opensearch", "http://h", ("m",)),
        ("memory://#users", "memory", "memory://", ("users",)),
    ],
)  # fmt: skip
def test_a_managed_table_needs_nothing_but_its_name(
    url: str, scheme: str, driver_url: str, table: tuple[str, ...]
) -> None:
    address = parse_store_url(url)
    assert (address.scheme, address.driver_url) == (scheme, driver_url)
    assert address.mapping == RowMapping(table=table)


def test_a_mapped_table_names_its_columns() -> None:
    address = parse_store_url(
        "postgres://h/d#users?key=id&tenant=tenant_id&version=rev&deleted=gone&columns=name,%20mail&key_type=uuid"
    )
    assert address.mapping == RowMapping(
        table=("users",),
        managed=False,
        key="id",
        key_type="uuid",
        tenant="tenant_id",
        version="rev",
        deleted="gone",
        value=None,
        columns=("name", "mail"),
    )


@pytest.mark.parametrize(("option", "value"), [("value=*", None), ("value=doc", "doc"), ("", None)])
def test_a_value_is_every_column_or_one(option: str, value: str | None) -> None:
    assert parse_store_url(f"postgres://h/d#users?key=id&{option}").mapping.value == value


@pytest.mark.parametrize(
    ("scheme", "key_type"), [("sqlite", None), ("postgres", None), ("mongodb", "text"), ("elasticsearch", "text")]
)
def test_sql_looks_its_key_type_up(scheme: str, key_type: str | None) -> None:
    assert parse_store_url(f"{scheme}:///d#users?key=_id").mapping.key_type == key_type


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://h/d#t", "scheme must be one of"),
        ("postgres:#t", "scheme must be one of"),
        ("", "scheme must be one of"),
        ("postgres://h/d", "name the table after '#'"),
        ("postgres://h/d#", "name the table after '#'"),
        ("postgres://h/d#?key=id", "name the table after '#'"),
        ("postgres://h/d#a.b.c", "more than a schema and a name"),
        ('postgres://h/d#users";drop', "must match"),
        ("postgres://h/d#users%22", "must match"),
        ("postgres://h/d#1users", "must match"),
        (f"postgres://h/d#{'u' * 64}", "must match"),
        ("postgres://h/d#users?key=i%22d", "column name"),
        ("postgres://h/d#users?key=", "column name"),
        ("postgres://h/d#users?key=id&value=a;b", "column name"),
        ("postgres://h/d#users?key=id&columns=a,b'", "column name"),
        ("postgres://h/d#users?tenant=t", "needs key=COLUMN"),
        ("postgres://h/d#users?key=id&colour=red", "unknown option 'colour'"),
        ("postgres://h/d#users?key=id&key=no", "given twice"),
        ("postgres://h/d#users?key=id&value=v&columns=a", "give one"),
        ("postgres://h/d#users?key=id&key_type=enum", "key_type=enum"),
        ("elasticsearch://h#Upper", "must match"),
        ("mongodb://h/d#$cmd", "must match"),
        ("sqlite://host/a.db#t", "write sqlite:///relative.db"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_store_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hunter2@h/d#t",
        "postgres://user:hunter2@h/d?x=1#t?bad=1",
        "postgres://user:hunter2/slash@h/d#t",
        "postgres://user:hunter2#hash@h/d#t",
        "postgres://user:p@hunter2@h/d#t",
        "postgres://user@h/d?password=hunter2&sslmode=require#t",
        "mongodb://h/d?tlsCertificateKeyFilePassword=hunter2#t",
        "elasticsearch://elastic:hunter2@h:9200#t",
        "nonsense:password=hunter2",
        "mysql://user:hunter2@h/d#t",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    assert "hunter2" not in redact_url(url)
    try:
        shown = repr(parse_store_url(url))
    except ConfigurationError as error:
        shown = str(error)
    assert "hunter2" not in shown


def test_what_is_no_secret_is_shown() -> None:
    assert redact_url("postgres://user:x@h:5/d?sslmode=require#t?key=id") == (
        "postgres://user:***@h:5/d?sslmode=require#t?key=id"
    )
    assert redact_url("sqlite:///a@b.db#t") == "sqlite:///a@b.db#t"
