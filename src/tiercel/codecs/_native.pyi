from collections.abc import Callable
from typing import Any

from tiercel.codecs.opener import Memo

class Opener:
    def __init__(
        self, tokens: Memo, scopes: tuple[int, ...], codec: int, decode: Callable[[bytes], Any], miss: object, /
    ) -> None: ...
    def open(
        self, name: bytes, record: object, now_ms: int, now_s: float, read_after_s: float, beta: float, /
    ) -> Any: ...
    def open_many(
        self,
        names: list[bytes],
        records: list[Any],
        now_ms: int,
        now_s: float,
        read_after_s: float,
        beta: float,
        /,
    ) -> tuple[list[Any], int]: ...
