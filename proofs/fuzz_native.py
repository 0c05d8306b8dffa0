"""
The accelerator does what the reference does, and breaks nothing, over ten million random operations.

Both tables get the same operations: keys of every kind of text and bytes, values that refer to themselves, tenants that
come and go, bounds in entries and in bytes that change, epochs, fills that overlap, time that jumps, finalizers that
call the cache from inside an eviction. Every answer must be the same, counters, victims and order of eviction included;
at the end of each round every object that the native table held must be gone.

Build the accelerator with ``TIERCEL_SANITIZE=1 python setup.py build_ext --inplace`` and run under AddressSanitizer::

    LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
        python -m proofs.fuzz_native --operations 10000000

Run: ``python -m proofs.fuzz_native [--operations N] [--seed N] [--json]``
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from tiercel._core.clock import ManualClock
from tiercel.local._reference import ReferenceTable
from tiercel.local.entry import LocalEntry
from tiercel.local.ticker import ClockReader
from tiercel.options import LocalOptions

ROUND = 20_000
OVERHEAD_BYTES = 100
ALPHABETS = ("abcdef", "äöüß", "日本語", "🦅🐦")


class Value:
    """A value that may refer to itself and that can be watched as it dies."""

    __slots__ = ("__weakref__", "me", "number")

    def __init__(self, number: int, *, is_cyclic: bool) -> None:
        self.number = number
        self.me = self if is_cyclic else None


class Twins:
    """The same table twice, and the operations on both."""

    def __init__(self, seed: int) -> None:
        from tiercel.local.accelerated import NativeTable

        self.random = random.Random(seed)
        self.clock = ManualClock()
        options = self.random_options()
        self.native: Any = NativeTable(options, self.clock, overhead_bytes=OVERHEAD_BYTES)
        self.reference: Any = ReferenceTable(options, ClockReader(self.clock), overhead_bytes=OVERHEAD_BYTES)
        self.tenants = ["", "acme", "globex", "日本"][: self.random.randint(1, 4)]
        self.keys = [self.random_key() for _ in range(self.random.choice((8, 200, 3000)))]
        self.tokens: list[tuple[str, Any, int]] = []
        self.entries: list[tuple[str, Any, LocalEntry, LocalEntry]] = []
        self.operations = self.weighted_operations()

    def weighted_operations(self) -> list[Callable[[], Any]]:
        """Return the operations, each as often as it is wanted."""
        weights: dict[Callable[[], Any], int] = {
            self.read_through: 400,
            self.set: 100,
            self.get_many: 10,
            self.delete: 30,
            self.expire: 10,
            self.touch: 10,
            self.ttl: 10,
            self.entry: 20,
            self.restamp: 20,
            self.begin_fill: 20,
            self.end_fill: 20,
            self.bump: 4,
            self.advance: 60,
            self.sweep: 10,
            self.configure: 1,
            self.clear: 1,
        }
        return [operation for operation, weight in weights.items() for _ in range(weight)]

    def random_options(self) -> LocalOptions:
        share = self.random.choice((1.0, 1.0, 0.5, 0.1))
        if self.random.random() < 0.5:
            return LocalOptions(max_entries=self.random.choice((1, 2, 10, 100, 700, 5000)), tenant_share=share)
        objective: Any = self.random.choice(("objects", "bytes"))
        bound = self.random.choice((1, 500, 10_000, 100_000, 1_000_000))
        return LocalOptions(max_entries=None, max_bytes=bound, tenant_share=share, objective=objective)

    def random_key(self) -> str | bytes:
        text = "".join(self.random.choices(self.random.choice(ALPHABETS), k=self.random.randint(0, 5)))
        return text.encode() if self.random.random() < 0.3 else text

    def pick(self) -> tuple[str, Any]:
        place = min(int(self.random.paretovariate(0.6)) - 1, len(self.keys) - 1)
        key = self.keys[place] if self.random.random() < 0.5 else self.keys[self.random.randrange(len(self.keys))]
        if self.random.random() < 0.3:  # equal and not identical
            key = (key + "x")[:-1] if isinstance(key, str) else bytes(bytearray(key))
        return self.random.choice(self.tenants), key

    def both(self, act: Callable[[Any], Any], tenant: str | None = None) -> Any:
        """Do *act* to both and insist on the same answer."""
        targets = [self.native, self.reference]
        answers = [act(target if tenant is None else target.view(tenant)) for target in targets]
        if answers[0] != answers[1]:
            raise AssertionError(f"native {answers[0]!r}, reference {answers[1]!r}")
        return answers[0]

    def filling(self) -> dict[str, Any]:
        """Return random arguments of a set."""
        chance = self.random.random
        filling: dict[str, Any] = {"ttl_s": self.random.choice((0, -1.0, 0.5, 1, 3.0, 60.0, 1e9, float("inf")))}
        if chance() < 0.3:
            filling["keep_s"] = self.random.choice((0.0, 1.0, 30.0))
        if chance() < 0.3:
            filling["version"] = self.random.randint(0, 4)
        if chance() < 0.3:
            filling["tags"] = ((self.random.randint(0, 9), 2**64 - 1),)
        if chance() < 0.5:
            filling["weight"] = self.random.choice((0, 1, 50, 400, 5000, 2**40))
        return filling

    def value(self) -> Value | int:
        if self.random.random() < 0.5:
            return self.random.randint(0, 9)
        return Value(self.random.randint(0, 9), is_cyclic=self.random.random() < 0.1)

    def read_through(self) -> None:
        tenant, key = self.pick()
        if not self.both(lambda view: view.get(key), tenant):
            self.set(tenant, key)

    def set(self, tenant: str | None = None, key: Any = None) -> None:
        if tenant is None:
            tenant, key = self.pick()
        value, filling = self.value(), self.filling()
        self.both(lambda view: view.set(key, value, **filling), tenant)

    def get_many(self) -> None:
        tenant = self.random.choice(self.tenants)
        keys = self.random.choices(self.keys, k=5)
        self.both(lambda view: view.get_many(keys), tenant)

    def delete(self) -> None:
        tenant, key = self.pick()
        self.both(lambda view: view.delete(key), tenant)

    def expire(self) -> None:
        tenant, key = self.pick()
        self.both(lambda view: view.expire(key), tenant)

    def touch(self) -> None:
        tenant, key = self.pick()
        ttl_s = self.random.choice((0.0, 1.0, 100.0))
        self.both(lambda view: view.touch(key, ttl_s), tenant)

    def ttl(self) -> None:
        tenant, key = self.pick()
        self.both(lambda view: view.ttl(key), tenant)

    def entry(self) -> None:
        tenant, key = self.pick()
        seen = self.both(lambda view: view.entry(key), tenant)
        if seen is not None:
            self.entries.append((tenant, key, seen, self.reference.view(tenant).entry(key)))
            del self.entries[:-20]

    def restamp(self) -> None:
        if self.entries:
            tenant, key, mine, theirs = self.random.choice(self.entries)
            answer = self.native.view(tenant).restamp(key, mine), self.reference.view(tenant).restamp(key, theirs)
            if answer[0] != answer[1]:
                raise AssertionError(f"restamp: {answer}")

    def begin_fill(self) -> None:
        tenant, key = self.pick()
        self.tokens.append((tenant, key, self.both(lambda view: view.begin_fill(key), tenant)))

    def end_fill(self) -> None:
        if not self.tokens:
            return
        tenant, key, token = self.tokens.pop(self.random.randrange(len(self.tokens)))
        value, filling = self.value(), self.filling()
        if self.random.random() < 0.8:
            self.both(lambda view: view.commit_fill(key, token, value, **filling), tenant)
        else:
            self.both(lambda view: view.abandon_fill(key, token), tenant)

    def bump(self) -> None:
        tenant = self.random.choice([None, *self.tenants])
        self.both(lambda target: target.bump_epoch(), tenant)

    def advance(self) -> None:
        self.clock.advance(self.random.choice((0.0, 0.001, 0.1, 1.0, 20.0)))

    def sweep(self) -> None:
        budget = self.random.choice((0, 1, 20, 1000))
        self.both(lambda table: table.sweep(budget))

    def configure(self) -> None:
        options = self.random_options()
        self.both(lambda table: table.configure(options, None))

    def clear(self) -> None:
        tenant = self.random.choice([None, *self.tenants])
        self.both(lambda target: target.clear(), tenant)

    def compare(self) -> None:
        """Insist on the same counters."""
        self.both(lambda table: table.stats())

    def run(self, operations: int) -> None:
        for count in range(operations):
            self.random.choice(self.operations)()
            if count % 100 == 0:
                self.compare()
        self.compare()


def leftovers(seed: int, operations: int) -> int:
    """Run one round; return how many values outlive the tables."""
    watched = watched_round(seed, operations)
    gc.collect()
    return sum(value() is not None for value in watched)


def watched_round(seed: int, operations: int) -> list[weakref.ref[Value]]:
    """Run one round; return every value that it made."""
    twins = Twins(seed)
    watched: list[weakref.ref[Value]] = []
    make = twins.value

    def watched_value() -> Value | int:
        value = make()
        if isinstance(value, Value):
            watched.append(weakref.ref(value))
        return value

    twins.value = watched_value  # type: ignore[method-assign]
    twins.operations = twins.weighted_operations()
    try:
        twins.run(operations)
    except BaseException:
        print(f"failed with --seed {seed}", file=sys.stderr)
        raise
    return watched


def haunted(operations: int, seed: int) -> int:
    """
    Drive the native table alone with values whose finalizers use it, some of them through the collector.

    Returns:
        How many finalizers ran.
    """
    from tiercel.local.accelerated import NativeTable

    chance = random.Random(seed)
    table = NativeTable(LocalOptions(max_entries=50))
    views = [table.view("a"), table.view("b")]
    ran = 0

    class Ghost:
        def __init__(self) -> None:
            self.me = self if chance.random() < 0.5 else None

        def __del__(self) -> None:
            nonlocal ran
            ran += 1
            act(6)

    def act(kinds: int) -> None:
        view, key = chance.choice(views), f"k{chance.randrange(120)}"
        kind = chance.randrange(kinds)
        if kind == 0:
            view.delete(key)
        elif kind == 1:
            view.clear() if chance.random() < 0.01 else view.get(key)
        elif kind == 2:
            view.begin_fill(key)
        elif kind == 3:
            view.entry(key)
        elif kind == 4:
            table.sweep(10)
        elif kind == 5:
            view.get_many([key, "k1"])
        else:
            view.set(key, Ghost(), ttl_s=chance.choice((0.001, 60.0)), tags=((1, chance.randrange(2)),))

    for _ in range(operations):
        act(12)
    return ran


def run(operations: int, seed: int, *, progress: bool = False) -> dict[str, int]:
    """Return the figures of *operations* operations on both tables and a tenth as many with haunted values."""
    done = left = 0
    started = time.monotonic()
    while done < operations:
        count = min(ROUND, operations - done)
        left += leftovers(seed + done // ROUND, count)
        done += count
        if progress and done // ROUND % 10 == 0:
            print(f"{done:,} operations, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    finalizers = haunted(operations // 10, seed)
    return {"operations": done, "differences": 0, "values_left": left, "finalizers_run": finalizers, "seed": seed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options.operations, options.seed, progress=True)
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{figures['operations']:,} operations: 0 differences, {figures['values_left']} values left behind")
    return 1 if figures["values_left"] else 0


if __name__ == "__main__":
    sys.exit(main())
