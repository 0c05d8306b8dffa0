"""What `Matrix.to_toml` writes reads back to an equal matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.alertoptions import AlertingOptions, SinkOptions
from tiercel._core.alertrules import AlertRule
from tiercel.matrix import Matrix
from tiercel.options import BackplaneOptions, CacheOptions, EntityRule, JournalOptions, LocalOptions, RegionOptions

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-z][a-z0-9_.-]{0,12}", fullmatch=True)
seconds = st.one_of(st.integers(1, 10**6).map(float), st.floats(1e-6, 1e6, allow_nan=False))
tiers: Any = st.lists(st.sampled_from(["local", "redis", "cdn"]), min_size=1, max_size=3, unique=True).map(tuple)

locals_ = st.one_of(
    st.builds(LocalOptions, max_entries=st.integers(1, 10**6), tenant_share=st.floats(0.01, 1)),
    st.builds(
        LocalOptions, max_entries=st.none(), max_bytes=st.integers(1, 10**9), copy=st.sampled_from(["shared", "decode"])
    ),
)
journals = st.builds(
    JournalOptions,
    kind=st.sampled_from(["file", "redis", "postgres"]),
    max_pending=st.none() | st.integers(1, 100),
    interval_s=seconds,
    batch_size=st.integers(1, 1000),
)
regions = st.builds(
    RegionOptions,
    name=st.one_of(names, st.sampled_from(["product", "session", "query"])),
    tiers=tiers,
    ttl_s=seconds,
    grace_s=seconds,
    private=st.booleans(),
    store=st.none() | text,
    tags=st.lists(text, max_size=2).map(tuple),
    compress_above_bytes=st.none() | st.integers(0, 10**6),
    local=locals_,
) | st.builds(RegionOptions, name=names, strategy=st.just("write-behind"), journal=journals)
templates = st.lists(text.filter(lambda part: "{" not in part and "}" not in part), max_size=2).map(tuple)
entities = st.builds(EntityRule, name=text, regions=templates, tags=templates, paths=templates)
caches = st.builds(
    CacheOptions,
    redis=st.none() | st.sampled_from(["redis://h", "rediss+cluster://u:p@a:1,b:2", "${REDIS}"]),
    stores=st.dictionaries(names, text, max_size=2),
    backplane=st.builds(BackplaneOptions, partitions=st.integers(1, 9)),
)
alerts = st.builds(
    AlertRule,
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True),
    metric=st.sampled_from(["hit_rate", "journal_lag"]),
    below=st.floats(0, 1),
    for_s=seconds,
    summary=text,
    enabled=st.booleans(),
)
alertings = st.builds(
    AlertingOptions,
    group_wait_s=seconds,
    sinks=st.lists(
        st.just(SinkOptions(kind="log"))
        | st.builds(
            SinkOptions, kind=st.sampled_from(["webhook", "slack"]), url=text.map(lambda part: f"http://{part}")
        )
        | st.builds(
            SinkOptions,
            kind=st.just("smtp"),
            url=st.just("smtps://u:p@h:465"),
            sender=text.filter(lambda part: part != "none"),
            recipients=st.lists(text, min_size=1).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
)


@given(st.lists(regions | entities | caches | alerts | alertings, max_size=5))
def test_what_is_written_reads_back(parts: list[Any]) -> None:
    matrix = Matrix.of(*parts)
    assert Matrix.from_text(matrix.to_toml(), base=Matrix()) == matrix
    over_defaults = Matrix.defaults().overlay(matrix)
    assert Matrix.from_text(over_defaults.to_toml()) == over_defaults


def test_the_platform_example_reads_back() -> None:
    matrix = Matrix.from_toml(Path(__file__).parent / "platform.toml")
    assert Matrix.from_text(matrix.to_toml()) == matrix
