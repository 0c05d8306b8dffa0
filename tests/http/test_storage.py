"""
Storages: what a purge reaches, what a fence holds back, and what the memory bound costs.
"""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import pytest

from tests.http.samples import NOW, cc, request, stored
from tiercel.errors import ConfigurationError
from tiercel.http.purging import PurgeDoor, read_purge
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import Request, StoredResponse
from tiercel.http.storage import MemoryStorage, Purge

FRESH = cc("max-age=60")


def keep(storage: MemoryStorage, asked: Request, *tags: str, body: bytes = b"x") -> StoredResponse:
    kept = replace(stored(FRESH, body=body), tags=tags)
    storage.save(asked, kept, fence=storage.fence(), most=8)
    return kept


@pytest.mark.parametrize(
    ("purge", "fallen"),
    [
        (Purge(tags=["a"]), {"/1", "/2?q=1"}),
        (Purge(tags=["b"]), {"/2?q=1"}),
        (Purge(tags=["nobody"]), set()),
        (Purge(urls=["/1"]), {"/1"}),
        (Purge(urls=["/2"]), {"/2?q=1"}),
        (Purge(urls=["/2?q=1"]), {"/2?q=1"}),
        (Purge(urls=["/2?q=2"]), set()),
        (Purge(urls=["http://shop.example/1"]), {"/1"}),
        (Purge(urls=["http://other.example/1"]), set()),
        (Purge(prefixes=["/2"]), {"/2?q=1"}),
        (Purge(prefixes=["http://shop.example/"]), {"/1", "/2?q=1", "/3"}),
        (Purge(hosts=["shop.example"]), {"/1", "/2?q=1", "/3"}),
        (Purge(everything=True), {"/1", "/2?q=1", "/3"}),
        (Purge(everything=True, tenant="other"), set()),
        (Purge(), set()),
    ],
)
def test_a_purge_reaches_what_it_names_and_no_more(purge: Purge, fallen: set[str]) -> None:
    storage = MemoryStorage()
    pages = {"/1": ("a",), "/2?q=1": ("a", "b"), "/3": ("c",)}
    for target, tags in pages.items():
        keep(storage, request(target=target), *tags)
    assert storage.purge(purge, NOW) == len(fallen)
    assert {target for target in pages if not storage.load(request(target=target))} == fallen


def test_a_soft_purge_leaves_a_stale_copy() -> None:
    storage = MemoryStorage()
    keep(storage, request(), "a")
    storage.purge(Purge(tags=["a"], soft=True), NOW + 5)
    (kept,) = storage.load(request())
    assert not kept.is_fresh(NOW + 5)
    assert kept.staleness_s(NOW + 8) == 3


@pytest.mark.parametrize("purge", [Purge(tags=["a"]), Purge(urls=["/"]), Purge(everything=True)])
def test_a_fence_refuses_what_a_purge_overtook(purge: Purge) -> None:
    storage = MemoryStorage()
    fence = storage.fence()
    storage.purge(purge, NOW)
    assert not storage.save(request(), replace(stored(FRESH), tags=("a",)), fence=fence, most=8)
    assert storage.save(request(target="/b"), stored(FRESH), fence=fence, most=8) is not purge.everything


def test_a_fence_older_than_every_remembered_purge_refuses() -> None:
    storage = MemoryStorage()
    fence = storage.fence()
    for number in range(1025):
        storage.purge(Purge(tags=[str(number)]), NOW)
    assert not storage.save(request(), stored(FRESH), fence=fence, most=8)


def test_memory_stays_within_its_bound_and_keeps_what_is_used() -> None:
    storage = MemoryStorage(max_bytes=100_000)
    hot = request(target="/hot")
    keep(storage, hot, body=b"x" * 1000)
    for number in range(500):
        assert storage.load(hot)
        keep(storage, request(target=f"/{number}"), f"tag-{number}", body=b"x" * 1000)
        assert storage.size_bytes <= 100_000
    assert storage.load(hot)
    assert len(storage) < 100
    storage.purge(Purge(everything=True), NOW)
    assert (len(storage), storage.size_bytes) == (0, 0)
    assert (storage._keys_by_tag, storage._keys_by_address) == ({}, {})


def test_what_is_larger_than_the_storage_is_not_kept() -> None:
    storage = MemoryStorage(max_bytes=1000)
    assert not storage.save(request(), stored(FRESH, body=b"x" * 2000), fence=storage.fence(), most=8)


def test_client_fields_are_not_kept_with_the_key() -> None:
    storage = MemoryStorage()
    asked = request(("Cookie", "secret"))
    keep(storage, asked)
    assert storage._shelves[asked.key].request.headers == Headers()


def test_threads_leave_the_books_in_order() -> None:
    storage = MemoryStorage(max_bytes=30_000)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(400):
            target = f"/{rng.randrange(60)}"
            if rng.random() < 0.2:
                storage.purge(Purge(tags=[str(rng.randrange(8))]), NOW)
            else:
                keep(storage, request(target=target), str(rng.randrange(8)), body=b"x" * rng.randrange(2000))
            storage.load(request(target=target))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shelves = storage._shelves.values()
    assert storage.size_bytes == sum(shelf.weight_bytes for shelf in shelves) <= 30_000
    storage.purge(Purge(everything=True), NOW)
    assert (storage.size_bytes, storage._keys_by_tag, storage._keys_by_address) == (0, {}, {})


@pytest.mark.parametrize(
    ("method", "lines", "purge"),
    [
        ("PURGE", [("X-Tiercel-Keys", "a b url=/p")], Purge(tags=["a", "b"], urls=["/p"])),
        ("SOFTPURGE", [("X-Tiercel-Keys", "a")], Purge(tags=["a"], soft=True)),
        ("BAN", [("X-Tiercel-Ban", "obj.status != 0")], Purge(everything=True)),
        ("BAN", [("X-Tiercel-Ban", "obj.http.x-tiercel-host == Shop.example")], Purge(hosts=["shop.example"])),
        ("BAN", [("X-Tiercel-Ban", r"obj.http.x-tiercel-url ~ ^/a\.b/")], Purge(prefixes=["/a.b/"])),
        ("BAN", [("X-Tiercel-Ban", "req.url ~ .*")], None),
        ("BAN", [], None),
        ("PURGE", [], None),
    ],
)
def test_what_a_request_asks_to_purge(method: str, lines: list[tuple[str, str]], purge: Purge | None) -> None:
    read = read_purge(method, Headers(lines))
    assert (read is None) is (purge is None)
    if read is not None and purge is not None:
        lists = ("tags", "urls", "prefixes", "hosts")
        assert [list(getattr(read, name)) for name in lists] == [list(getattr(purge, name)) for name in lists]
        assert (read.soft, read.everything) == (purge.soft, purge.everything)


@pytest.mark.parametrize(
    ("networks", "client", "admitted"),
    [
        ([], "127.0.0.1", False),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "192.0.2.1", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["::1"], "::1", True),
        (["10.0.0.0/8"], "testclient", False),
        (["10.0.0.0/8"], None, False),
    ],
)
def test_who_may_purge(networks: list[str], client: str | None, admitted: bool) -> None:
    assert PurgeDoor(networks).admits({"client": (client, 1) if client else None}) is admitted


def test_a_network_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.0/8"):
        PurgeDoor(["everywhere"])
