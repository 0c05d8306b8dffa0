"""Mistakes in a matrix file: every one is found in one run, with its line, its field and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix


def _mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Matrix.from_text(text, source="m.toml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[regions.product]\ntt = "1h"', "m.toml:2: unknown key 'tt' in [regions.product]: did you mean 'ttl'?"),
        ("[region.product]", "m.toml:1: unknown key 'region': did you mean 'regions'?"),
        ("[regions.product]\nttl_s = 3", "m.toml:2: unknown key 'ttl_s' in [regions.product]: did you mean 'ttl'?"),
        ('[regions.product]\ntiers = ["locl"]', "m.toml:2: tiers: 'locl' is not allowed: did you mean 'local'?"),
        (
            '[regions.product]\ntiers = "local"',
            'm.toml:2: tiers: must be a list such as ["a", "b"], not a string (\'local\')',
        ),
        ("[regions.product]\nnever_stale = 1", "m.toml:2: never_stale: must be true or false, not a whole number (1)"),
        ("[regions.product]\nttl_jitter = true", "m.toml:2: ttl_jitter: must be a number, not true or false (True)"),
        ("[regions]\nproduct = 5", "m.toml:2: regions.product must be a table, not a whole number (5)"),
        (
            "[regions.product.local]\nmax_byts = 1",
            "m.toml:2: unknown key 'max_byts' in [regions.product.local]: did you mean 'max_bytes'?",
        ),
        ("[regions.new]\nttl = 5", "m.toml:1: region 'new' is not built in and needs tiers"),
        ('[regions.New]\nttl = 5\ntiers=["redis"]', "m.toml:1: region name 'New': must match [a-z][a-z0-9_.-]{0,63}"),
        ("[regions.product]\nvalue_type = 'x'", "m.toml:2: unknown key 'value_type' in [regions.product]"),
        ("[regions.product]\nstale_if = 'x'", "m.toml:2: unknown key 'stale_if' in [regions.product]"),
        ("[entities.a]\npaths = ['/p/{sku}']", "m.toml:2: '/p/{sku}' has the placeholder {sku}: only {id} is known"),
        (
            "[entities.a]\ntags = ['a{']",
            "m.toml:2: 'a{' is no template: write text with {id} where the entity's key goes",
        ),
        ("[cache.backplane]\npartitions = 0", "m.toml:1: backplane partitions=0: must be at least 1"),
        ("[cache]\nstores = 3", "m.toml:2: stores: must be a table of strings, not a whole number (3)"),
        ("[[alerts]]\nname = 'a'", "m.toml:1: an alert needs metric"),
        ("[cache]\n\nredis = 'http://h'", "m.toml:3: redis: Redis URL scheme 'http': allowed are redis, rediss"),
        ("[cache]\ncdn = 'akamai://h'", "m.toml:2: cdn: "),
        ("[cache]\ngutter = 'http://h'", "m.toml:2: gutter: Redis URL scheme 'http'"),
        ("[cache]\ngutter = 'lokal'", "m.toml:2: gutter: 'lokal' is neither 'local' nor the URL of a Redis"),
        ("[cache]\ngutter_ttl = '1h'", "m.toml:1: gutter_ttl=3600.0: must lie in (0, 300.0] seconds"),
        ("[cache]\nredis = 'redis://h'\ngutter = 'redis://h'", "m.toml:1: gutter is the same URL as redis"),
        (
            "[regions.product]\nstore = 'oracle://u:pw@h#t'",
            "m.toml:2: store: store URL 'oracle://u:***@h#t': the scheme",
        ),
        (
            "[cache.stores]\nshop = 'postgres://h/db'\n[regions.product]\nstore = 'shop'",
            "m.toml:4: store: store URL 'postgres://h/db': name the table after '#'",
        ),
        ("[[alerting.sinks]]\nurl = 'http://h'", "m.toml:1: an alert sink needs kind"),
        ("[alerting]\nsinks = 'log'", "m.toml:2: sinks must be written as [[alerting.sinks]], one table a sink"),
        ("[alerting]\nrepeat = '1s'", "m.toml:1: alerting repeat=1.0 must exceed interval=15.0"),
        ("[[alerting.sinks]]\nkind = 'slack'", "m.toml:1: alert sink 'slack': url must be set, except for kind 'log'"),
        (
            "[[alerting.sinks]]\nkind = 'smtp'\nurl = 'smtp://h'",
            "m.toml:1: alert sink 'smtp': sender=None and recipients=[] must both be set",
        ),
        (
            "[[alerting.sinks]]\nkind = 'webhook'\nurl = 'ftp://h'",
            "m.toml:1: alert sink 'webhook': url must begin with http:// or https://",
        ),
        (
            "[[alerts]]\nname='a'\nmetric='breaker_open'\nabove=0\nregion='*'",
            "m.toml:1: alert 'a': region='*': metric='breaker_open' is known only for the whole cache, drop region",
        ),
        ("[alerts]\nname = 'a'", "m.toml:1: alerts must be written as [[alerts]], one table an alert"),
        (
            "[[alerts]]\nname='a'\nmetric='hit_rate'\nabove=1\nbelow=2",
            "m.toml:1: alert 'a': above=1.0 and below=2.0: set exactly one of the two",
        ),
    ],
)
def test_a_mistake_names_its_line_and_what_is_allowed(text: str, message: str) -> None:
    mistakes = _mistakes(text)
    assert len(mistakes) == 1
    assert mistakes[0].startswith(message)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("[regions.product]\nnever_stale = true\ngrace = '1m'", ["never_stale", "grace"]),
        ("[regions.product]\nlocal_ttl = '2h'", ["local_ttl", "ttl"]),
        ("[regions.product]\nsoft_timeout = '1m'", ["soft_timeout", "load_timeout"]),
        ("[regions.product.journal]\nbatch_size = 5", ["journal", "strategy"]),
        ("[regions.product.local]\nmax_bytes = 5\nmax_entries = 5", ["max_bytes", "max_entries"]),
        ("[regions.profile.journal]\nkind = 'memory'\ndurability = 'always'", ["kind", "durability"]),
        ("[regions.profile.journal]\nretry = '1h'", ["retry_max", "retry"]),
        ("[[alerts]]\nname='a'\nmetric='hit_rate'\nbelow=0.8\nclear=0.7", ["clear", "below"]),
    ],
)
def test_a_contradiction_names_both_fields(text: str, fields: list[str]) -> None:
    (message,) = _mistakes(text)
    assert all(field in message for field in fields)


def test_all_mistakes_are_named_in_one_run() -> None:
    text = '[regions.product]\ntt = 1\n[regions.query]\nttl = "x"\n[[alerts]]\nname = "1"\nmetric = "hit_rate"\n'
    assert [mistake.split(":")[1] for mistake in _mistakes(text)] == ["2", "4", "5"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = [1", "at line 1, column 7, the end of the file"),
        ('[a]\nb = "', "at line 2, column 6"),
        ("a = 1\na = 2", "at line 2, column 6"),
    ],
)
def test_bad_toml_names_line_and_column(text: str, place: str) -> None:
    (message,) = _mistakes(text)
    assert message.startswith("m.toml: bad TOML: ")
    assert place in message


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml: cannot be read: No such file"):
        Matrix.from_toml(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe4'")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text \\(byte 5\\)"):
        Matrix.from_toml(tmp_path / "latin.toml")


def test_an_alert_defined_twice_is_refused() -> None:
    alert = "[[alerts]]\nname='a'\nmetric='hit_rate'\nbelow=0.8\n"
    assert _mistakes(alert + alert) == ["m.toml:5: alert 'a' is defined twice"]
