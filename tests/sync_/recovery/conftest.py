# Generated from tests/async_/recovery/conftest.py by tools/unasync.py. Do not edit.
"""
Caches with encrypted regions on each kind of far tier, and the plaintext that must be found nowhere.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.rig.redis import RedisServer
from tiercel import Cache, CacheOptions, EntityRule, Matrix, RegionOptions
from tiercel._paired import Function
from tiercel._process import Process
from tiercel.options import JournalOptions, KeyOptions

CANARY = "canary-4711-plaintext"
Open = Function[..., Cache]


def ring(*ids: str) -> str:
    """Return a ring with a key for each id."""
    return "\n".join(f"{each}:{base64.b64encode(each.encode().ljust(32, b'.')).decode()}" for each in ids)


@pytest.fixture(params=["memory", "redis"])
def far_url(request: pytest.FixtureRequest) -> str | None:
    """URL of a far tier of each kind; None for the one in this process."""
    if request.param == "memory":
        return None
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def ring_path(tmp_path: Path) -> Path:
    """A file with one key in it."""
    path = tmp_path / "ring"
    path.write_text(ring("k1"))
    return path


@pytest.fixture
def sealed_matrix(tmp_path: Path, ring_path: Path) -> Matrix:
    """Three encrypted regions: derived data, profiles with a key a subject, and one that writes behind."""
    store = f"sqlite:///{tmp_path}/shop.db#orders"
    behind = JournalOptions(kind="file", flush=False, partitions=1)
    return Matrix.of(
        KeyOptions(name="main", source=f"file:{ring_path}"),
        KeyOptions(name="people", source=f"file:{ring_path}", subjects=True),
        RegionOptions(name="page", tiers=("local", "redis"), encrypt="main"),
        RegionOptions(name="profile", tiers=("redis",), encrypt="people"),
        RegionOptions(
            name="order", tiers=("redis",), encrypt="main", strategy="write-behind", store=store, journal=behind
        ),
        RegionOptions(name="plain", tiers=("local", "redis"), store=f"sqlite:///{tmp_path}/shop.db#plain"),
        EntityRule(name="user", regions=("profile:{id}", "order:of-{id}", "plain:{id}"), tags=("people",)),
        CacheOptions(namespace=f"t{secrets.token_hex(6)}", state_dir=str(tmp_path / "state")),
    )


@pytest.fixture
def open_cache(sealed_matrix: Matrix, far_url: str | None, tmp_path: Path) -> Iterator[Open]:
    """Make a cache that plays a machine of its own; all of one test share the far tier."""
    opened: list[Cache] = []
    records = Process().records

    def make(*parts: KeyOptions | RegionOptions) -> Cache:
        process = Process()
        process.records = records
        own = replace(sealed_matrix.cache, redis=far_url, state_dir=str(tmp_path / f"node{len(opened)}"))
        cache = Cache(sealed_matrix.overlay(own, *parts), process=process, drain_s=0.0)
        opened.append(cache)
        return cache.start()

    yield make
    for cache in opened:
        cache.close()
