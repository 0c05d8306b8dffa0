"""
The golden frames: one of every state, flag and shape, as release 1 of the frame writes them.

``python -m tests.golden.frames`` writes those that are missing; a file that is there is never rewritten, for a cache
may still hold such records.
"""

from __future__ import annotations

from pathlib import Path

from tiercel._core.frame import Flag, Frame, State, pack

FOLDER = Path(__file__).parent
KEY_HASH = 0x0123_4567_89AB_CDEF
NOW_MS = 1_700_000_000_000
MOST = (1 << 64) - 1

FRAMES: dict[str, Frame] = {
    "live": Frame(
        State.LIVE, KEY_HASH, 1, Flag.NONE, 7, NOW_MS, NOW_MS + 1, NOW_MS + 2, NOW_MS + 3, 0, 0, 7, 1500, False,
        ((0, 1), (2, 3)), b"payload",
    ),
    "live-without-version": Frame(State.LIVE, KEY_HASH, 1, payload=b"derived"),
    "live-compressed": Frame(State.LIVE, KEY_HASH, 2, Flag.COMPRESSED, payload=b"\x28\xb5\x2f\xfd"),
    "live-encrypted": Frame(State.LIVE, KEY_HASH, 1, Flag.ENCRYPTED | Flag.COMPRESSED, payload=bytes(range(256))),
    "live-leased": Frame(
        State.LIVE, KEY_HASH, 1, payload=b"old", lease_token=1 << 63, lease_until_ms=NOW_MS, is_awaited=True
    ),
    "live-many-tags": Frame(State.LIVE, KEY_HASH, tags=tuple((tag, (1 << 64) - 1 - tag) for tag in range(255))),
    "live-empty": Frame(State.LIVE, KEY_HASH),
    "live-largest": Frame(
        State.LIVE, KEY_HASH, 255, Flag(7), MOST, MOST, MOST, MOST, MOST, MOST, MOST, MOST, (1 << 32) - 1,
        payload=b"\xff" * 300,
    ),
    "negative": Frame(State.LIVE, KEY_HASH, flags=Flag.NEGATIVE, tags=((0, 9),)),
    "stale": Frame(State.STALE, KEY_HASH, 1, version=3, fresh_until_ms=NOW_MS, floor=5, payload=b"kept"),
    "tombstone": Frame(State.TOMBSTONE, KEY_HASH, floor=1 << 62),
    "leased": Frame(State.LEASED, KEY_HASH, lease_token=5, lease_until_ms=NOW_MS),
}  # fmt: skip


def path_of(name: str) -> Path:
    """Return where the golden frame called *name* is kept."""
    return FOLDER / f"frame-1-{name}.bin"


def main() -> None:
    """Write the missing ones."""
    for name, frame in FRAMES.items():
        if not path_of(name).exists():
            path_of(name).write_bytes(pack(frame))


if __name__ == "__main__":
    main()
