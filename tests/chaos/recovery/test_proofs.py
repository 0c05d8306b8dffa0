"""The proofs of backups and of encryption in short."""

from __future__ import annotations

from proofs import backup, encryption


def test_a_restore_brings_nothing_stale_and_nothing_erased_back() -> None:
    rows = backup.whole(keys=1_000, invalidations=100, erasures=2)
    assert (rows["tiercel"]["stale"], rows["tiercel"]["erased_back"]) == (0, 0)
    assert rows["tiercel"]["found"] > 500
    assert rows["tiercel"]["ttl_error_s"] <= 1.0
    assert rows["naive"]["stale"] > 0
    assert rows["naive"]["erased_back"] == 2


def test_killed_commands_are_carried_on() -> None:
    figures = backup.survives_kills(1, 400)
    assert (figures["lost"], figures["stale"], figures["kills"]) == (0, 0, 2)


def test_a_canary_is_found_nowhere_and_in_the_naive_way_it_is() -> None:
    assert not any(encryption.search(is_sealed=True).values())
    found = encryption.search(is_sealed=False)
    assert min(found["redis rdb"], found["redis aof"], found["backup"], found["proof-parked.journal"]) > 0


def test_no_swapped_ciphertext_opens() -> None:
    figures = encryption.swapped()
    assert (figures["opened"], figures["own_opened"]) == (0, encryption.SWAPPED)


def test_rotation_fails_no_read() -> None:
    figures = encryption.rotated(1.0)
    assert (figures["failed"], figures["reads"] > 100) == (0, True)
