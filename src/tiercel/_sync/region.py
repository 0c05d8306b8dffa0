# Generated from src/tiercel/_async/region.py by tools/unasync.py. Do not edit.
"""
A region in a tenant: the verbs that applications use.

Two families, never mixed: ``read write delete`` go to the store by the region's strategy; ``get set expire remove …``
touch the tiers only. Every method may be called from any task, and its blocking twin from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from tiercel import _dependencies
from tiercel._sync.apiresponse import ApiResponse, Hints, publish_response
from tiercel._sync.edgereader import EdgeReader
from tiercel._sync.invalidator import Invalidator
from tiercel._sync.keeper import Keeper
from tiercel._sync.node import Place
from tiercel._sync.orders import ManyOrder, Order
from tiercel._sync.overlay import Overlay
from tiercel._sync.reader import Reader
from tiercel._sync.receipt import Receipt
from tiercel._sync.sweep import Sweep
from tiercel._sync.writer import Handle, Writer
from tiercel._calls import key_maker
from tiercel._core.consistency import ReadConsistency, demands
from tiercel._core.copy import NEGATIVE, Fetched
from tiercel._core.record import Windows
from tiercel._core.tags import WARN_TAGS, prefix_tag, tag_hashes
from tiercel._flights import may_wait
from tiercel.errors import ClosedError, ConfigurationError, NotFound
from tiercel.options import RegionOptions
from tiercel.typing import DELETED, MISS, Key

Items: TypeAlias = Mapping[str, Any] | Mapping[bytes, Any] | Mapping[Key, Any]
"""Values by key; the keys may be text, bytes, or both."""
F = TypeVar("F", bound=Callable[..., Any])


class Region:
    """
    One data type of one tenant; made by ``cache.tenant(…).region(…)`` and cheap to keep.

    Attributes:
        tenant: Whose data it is.
        place: Where its entries are called what, for the parts of the cache itself.
    """

    def __init__(self, place: Place, invalidator: Invalidator) -> None:
        self.tenant = place.tenant
        self.place = place
        self._invalidator = invalidator
        self._reader: Reader | EdgeReader
        tiers = Reader(place)
        self._express = tiers.express
        self._writer = Writer(place, Keeper(place, tiers.looker), invalidator)
        self._looker = tiers.looker
        self._reader = EdgeReader(place, self._writer) if self.options.tiers == ("cdn",) else tiers
        near = place.view or place.hot_view
        self._get_local = near.get if near is not None and not place.core.is_derived_behind else _no_local
        self._own_tags = tuple(self.options.tags)
        self._overlay = Overlay(place)

    @property
    def options(self) -> RegionOptions:
        """The region's row of the matrix as it is now, live changes included."""
        return self.place.core.plan.options

    # Data verbs: through the tiers to the store.

    def read(self, key: Key, default: Any = MISS, *, consistency: ReadConsistency | None = None) -> Any:
        """
        Return the row: local, else far tier, else one load from the store however many ask.

        Args:
            key: The row's key, str or bytes, 1 to 512 bytes.
            default: Returned where there is no such row; that answer is cached for ``negative_ttl_s``.
            consistency: ``"eventual"``, ``"strong"``, ``bounded(seconds)``, ``read_your_writes(version)``; None for the
                region's own.

        Raises:
            ConfigurationError: the region has no store (use ``get`` or ``get_or_load``).
            StoreError: the store failed and nothing stale may be served.
            KeyRefused: the key cannot be used.
        """
        if consistency is None and not _dependencies.open_collectors:
            value = self._get_local(key)
            if value is not MISS:
                return value
        self._check_open()
        strong, least = self._demands(consistency)
        copy = self._reader.load(
            key, Order(self._load_row, self._tags((), key), None, strong, least, self._load_rows)
        )
        return default if copy.value is NEGATIVE else copy.value

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Return the rows that exist, by key: one round trip a node for the far tier, one query for the rest."""
        self._check_open()
        return self._loaded_many(keys, self._load_rows, (), None)

    def write(self, key: Key, value: Any, *, tags: Sequence[str] = (), ttl_s: float | None = None) -> Handle:
        """
        Write a row by the region's strategy and put it into the tiers.

        Returns:
            A handle with the row's ``version``; ``persisted()`` waits until a write-behind has reached the store.

        Raises:
            StoreError: the store failed; the entry has fallen, as the row may have changed.
            JournalFull: write-behind, by the region's overflow policy.
            EncodeError: the value cannot be cached; nothing was written.
        """
        self._check_open()
        return (self._written({key: value}, tags, ttl_s))[0]

    def write_many(
        self, items: Items, *, tags: Sequence[str] = (), ttl_s: float | None = None
    ) -> list[Handle]:
        """Write many rows: one bulk statement (write-through) or one journal append (write-behind)."""
        self._check_open()
        return self._written(items, tags, ttl_s)

    def _written(self, items: Items, tags: Sequence[str], ttl_s: float | None) -> list[Handle]:
        _check_ttl(ttl_s)
        write = self._writer.write_behind if self.place.core.is_derived_behind else self._writer.write_many
        values: dict[Key, Any] = dict(items.items())
        handles: dict[Key, Handle] = {}
        for own, group in self._by_tags(list(values), tags).items():
            made = write({key: values[key] for key in group}, own, ttl_s)
            handles.update(zip(group, made, strict=True))
        return [handles[key] for key in values]

    def delete(self, key: Key) -> Handle:
        """Delete the row by the region's strategy, and the entry from every tier; see `write` for errors."""
        self._check_open()
        return self._writer.delete(key)

    def _load_row(self, key: Key) -> Any:
        """Return the newest row: a write that waits in the journal, else the store's."""
        core = self.place.core
        pending = self._overlay.row(key)
        if pending is not None:
            if pending.value is DELETED:
                raise NotFound(key)
            return pending
        if core.store is None:
            raise ConfigurationError(
                f"region {self.options.name!r} has no store to read from: set store=…, or use get or get_or_load"
            )
        core.stats.store_reads += 1
        row = core.store.read(self.tenant, key)
        if row is None:
            raise NotFound(key)
        return row

    def _load_rows(self, keys: Sequence[Key]) -> dict[Key, Any]:
        core = self.place.core
        pending = self._overlay.rows(keys)
        wanted = [key for key in keys if key not in pending]
        rows: dict[Key, Any] = {key: row for key, row in pending.items() if row.value is not DELETED}
        if wanted:
            if core.store is None:
                raise ConfigurationError(f"region {self.options.name!r} has no store to read from")
            core.stats.store_reads += 1
            rows.update(core.store.read_many(self.tenant, wanted))
        return rows

    # Cache verbs: the tiers only.

    def get_local(self, key: Key, default: Any = MISS) -> Any:
        """
        Return this process's fresh copy, else *default*; never waits.

        Inside a computation it is noted by the tokens that this process knows; where it does not know them, what is
        being computed is not shared.
        """
        value = self.place.noted(self._get_local, key) if _dependencies.open_collectors else self._get_local(key)
        return default if value is MISS else value

    def get(self, key: Key, default: Any = MISS, *, consistency: ReadConsistency | None = None) -> Any:
        """Return a fresh copy from the tiers, else *default*; never loads."""
        if consistency is None and not _dependencies.open_collectors:
            value = self._get_local(key)
            if value is not MISS:
                return value
            if self._express is not None and self._express.is_open:
                found = self._express.fetch(key)
                return found if type(found) is not Fetched else self._express.find(key, found, default)
        self._check_open()
        strong, least = self._demands(consistency)
        waiting = self._overlay.derived(key, strong=strong)
        if waiting is not MISS:
            return default if waiting is DELETED else waiting
        copy = self._reader.find(key, strong=strong, least_version=least)
        return default if copy is None or copy.value is NEGATIVE else copy.value

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Return the fresh copies that the tiers hold, by key, in one round trip a node."""
        self._check_open()
        found = self._reader.find_values(list(dict.fromkeys(keys)))
        if self.place.core.is_derived_behind:
            for key in keys:
                waiting = self._overlay.derived(key)
                if waiting is not MISS:
                    found.pop(key, None)
                    found.update({} if waiting is DELETED else {key: waiting})
        return found

    def set(self, key: Key, value: Any, *, tags: Sequence[str] = (), ttl_s: float | None = None) -> None:
        """
        Put a value into the tiers; loads of the key that are under way become void.

        Raises:
            EncodeError: the value cannot be encoded.
            StoreError: the far tier did not take it, and neither could the entry be made to fall.
        """
        self.set_many({key: value}, tags=tags, ttl_s=ttl_s)

    def set_many(self, items: Items, *, tags: Sequence[str] = (), ttl_s: float | None = None) -> None:
        """Put many values into the tiers, in one round trip a node."""
        self._check_open()
        may_wait()
        _check_ttl(ttl_s)
        values: dict[Key, Any] = dict(items.items())
        for own, group in self._by_tags(list(values), tags).items():
            self._writer.put({key: values[key] for key in group}, own, ttl_s)

    def get_or_load(
        self,
        key: Key,
        loader: Callable[[], Any],
        default: Any = MISS,
        *,
        tags: Sequence[str] = (),
        ttl_s: float | None = None,
        consistency: ReadConsistency | None = None,
    ) -> Any:
        """
        Return a copy, or what *loader* gives: once, however many ask, on this node and on others.

        Args:
            key: The entry's key.
            loader: Called without arguments; plain or (on `Cache`) awaitable. It raises `NotFound` for "no such
                record", which is cached and answered with *default*. It may return a `Record` to give a version.
            default: Answer for "no such record".
            tags: Tags of the entry; at most 64.
            ttl_s: Its ttl; None for the region's.
            consistency: As for `read`.

        Raises:
            Exception: the loader's own, where nothing stale may be served.
            LoadTimeout: it takes longer than ``load_timeout_s``, and nothing stale may be served.
        """
        if consistency is None and not _dependencies.open_collectors:
            value = self._get_local(key)
            if value is not MISS:
                return value
        self._check_open()
        _check_ttl(ttl_s)
        strong, least = self._demands(consistency)
        waiting = self._overlay.derived(key, strong=strong)
        if waiting is not MISS and waiting is not DELETED:
            return waiting
        order = Order(lambda _: loader(), self._tags(tags, key), ttl_s, strong, least)
        copy = self._reader.load(key, order)
        return default if copy.value is NEGATIVE else copy.value

    def get_or_load_many(
        self,
        keys: Sequence[Key],
        loader: Callable[[list[Any]], Any],
        *,
        tags: Sequence[str] = (),
        ttl_s: float | None = None,
    ) -> dict[Key, Any]:
        """Return copies by key; *loader* gets the keys that no tier has, once, and returns those that exist."""
        self._check_open()
        _check_ttl(ttl_s)
        return self._loaded_many(keys, loader, tags, ttl_s)

    def _loaded_many(
        self, keys: Sequence[Key], loader: Callable[[list[Any]], Any], tags: Sequence[str], ttl_s: float | None
    ) -> dict[Key, Any]:
        values: dict[Key, Any] = {}
        for own, group in self._by_tags(keys, tags).items():
            values.update(self._reader.load_values(group, ManyOrder(loader, own, ttl_s)))
        return values

    def publish(
        self, key: Key, response: Any, *, tags: Sequence[str] = (), ttl_s: float | None = None
    ) -> ApiResponse:
        """Hand a response, or the function that computes it, to the CDN; see `Tenant.cache_api_response`."""
        self._check_open()
        may_wait()
        _check_ttl(ttl_s)
        hints = Hints(self._tags(tags, key), self.options.ttl_s if ttl_s is None else ttl_s)
        return publish_response(self.place, self._writer, key, response, hints)

    def expire(self, key: Key) -> Receipt:
        """Make an entry stale everywhere; its value is kept for the case that the next load fails."""
        return self._fell(key, keep_stale=True)

    def remove(self, key: Key) -> Receipt:
        """Destroy an entry in every tier, fail-safe copies included (erasure, price errors)."""
        return self._fell(key, keep_stale=False)

    def _fell(self, key: Key, *, keep_stale: bool) -> Receipt:
        self._check_open()
        may_wait()
        receipt = self._invalidator.receipt()
        self._overlay.drop([key])
        self._invalidator.keys(self.place, [key], receipt, keep_stale=keep_stale)
        edge = self.place.core.edge
        if edge is not None:
            edge.remove(self.place.edge_path(key))
        return receipt

    def fell_with(self, keys: Sequence[Key], receipt: Receipt, *, floor: int = 0) -> None:
        """Make *keys* fall as part of a larger invalidation whose *receipt* gets what was done."""
        self._check_open()
        may_wait()
        self._overlay.drop(keys)
        self._invalidator.outdated(self.place, keys, receipt, floor)

    def holds(self, key: Key) -> bool:
        """Say whether some tier holds a fresh copy of *key*, negative ones included."""
        return self._reader.find(key) is not None

    def published_paths(self, keys: Sequence[Key]) -> list[str]:
        """Return where *keys* are published at the CDN; nothing where the region has no CDN tier."""
        return [self.place.edge_path(key) for key in keys] if self.place.core.edge is not None else []

    def touch(self, key: Key, ttl_s: float | None = None) -> bool:
        """Give a live entry a new ttl, counted from now; return whether there was one."""
        self._check_open()
        may_wait()
        _check_ttl(ttl_s)
        core, view = self.place.core, self.place.view
        windows = Windows(
            int((self.options.ttl_s if ttl_s is None else ttl_s) * 1000), core.windows.grace_ms, core.windows.keep_ms
        )
        touched = view is not None and view.touch(key, windows.ttl_ms / 1000)
        if core.far is None:
            return touched
        return core.far.touch(self.place.name(key), windows)

    def ttl(self, key: Key) -> float | None:
        """Return the seconds that an entry stays fresh; None where there is none."""
        self._check_open()
        may_wait()
        if self.place.core.far is None and self.place.view is not None:
            return self.place.view.ttl(key)
        copy = self._reader.find(key)
        return None if copy is None else copy.fresh_for_s

    def invalidate_prefix(self, prefix: str) -> Receipt:
        """
        Make every entry fall whose key begins with a declared *prefix*: one write, however many entries there are.

        Raises:
            ConfigurationError: *prefix* is not in the region's ``prefixes``; use `invalidate_matching`.
        """
        self._check_open()
        may_wait()
        if prefix not in self.options.prefixes:
            declared = ", ".join(map(repr, self.options.prefixes)) or "none"
            raise ConfigurationError(
                f"region {self.options.name!r} declares the prefixes {declared}, not {prefix!r}: "
                "declare it, or use invalidate_matching, which looks at every name"
            )
        name = prefix_tag(self.options.name, prefix)
        return self._all_fell({self._invalidator.tag_hash(self.tenant, name): name})

    def invalidate_matching(self, glob: str, *, dry_run: bool = False) -> Sweep:
        """
        Make every entry fall whose text key matches *glob* (``*`` and ``?``), in the background.

        Returns:
            The sweep: ``scanned``, ``matched``, ``fallen`` grow while it runs; ``sweep.wait()`` gives the count.
            A region without a far tier falls whole, as its local copies cannot be listed.
        """
        self._check_open()
        may_wait()
        sweep = Sweep(self.place, self._invalidator, glob, dry_run=dry_run)
        if self.place.core.far is None and not dry_run:
            self.clear()
        sweep.start()
        return sweep

    def clear(self) -> Receipt:
        """Make everything of this region in this tenant fall, in one write however many entries there are."""
        self._check_open()
        may_wait()
        receipt = self._all_fell(self._invalidator.region_scope(self.tenant, self.options.name))
        if self.place.view is not None:
            self.place.view.clear()
        return receipt

    def _all_fell(self, tags: Mapping[int, str]) -> Receipt:
        """Make everything fall that carries one of *tags* (hash to name), published or not, and pages made from it."""
        receipt = self._invalidator.receipt()
        self._invalidator.tags(self.tenant, tags, receipt)
        if "cdn" in self.options.tiers or self.options.purge_pages:
            self._invalidator.pages(self.tenant, tags, receipt)
        return receipt

    def cached(
        self,
        key: str | Callable[..., Key] | None = None,
        *,
        tags: Sequence[str] = (),
        ttl_s: float | None = None,
        ignore_first: bool = False,
    ) -> Callable[[F], F]:
        """
        Cache a function's answers in this region.

        Args:
            key: Template (``"top:{category}"``) or function of the arguments; None for the function's name and all
                arguments, which must then be str, bytes, int, bool, float or None.
            tags: Templates of tags, filled like *key*.
            ttl_s: Ttl of the answers; None for the region's.
            ignore_first: The key does not depend on the first argument (``self``).

        The decorated function keeps its signature. `NotFound` raised by it is cached and raised again.
        """
        _check_ttl(ttl_s)

        def decorate(function: F) -> F:
            makers = key_maker(function, key, tags, ignore_first)

            def slow(made: Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                self._check_open()
                order = Order(
                    lambda _: function(*args, **kwargs), self._tags(makers.tags(*args, **kwargs), made), ttl_s
                )
                copy = self._reader.load(made, order)
                if copy.value is NEGATIVE:
                    raise NotFound(made)
                return copy.value

            return self._wrapped(function, makers.key, slow, ignore_first)

        return decorate

    def _wrapped(self, function: F, make_key: Callable[..., Key], slow: Any, ignore_first: bool) -> F:
        from tiercel._sync.wrapping import wrapped

        return wrapped(self.place.view, function, make_key, slow, ignore_first)

    def explain(self, key: Key) -> dict[str, Any]:
        """Say why a read of *key* hits, misses or is stale: every tier's copy, its tags and versions, last events."""
        from tiercel._sync.explain import explain

        return explain(self.place, self._looker, key)

    def _tags(self, tags: Sequence[str], key: Key) -> tuple[int, ...]:
        """Return the hashes of the tags that the entry of *key* carries: the region's, the caller's, its prefixes'."""
        named = (*self._own_tags, *tags)
        space = self.place.node.space
        hashes = tag_hashes(space, self.tenant, named) if named else ()
        if len(hashes) > WARN_TAGS:
            self.place.node.recorder.event("many_tags", region=self.options.name, tenant=self.tenant, count=len(named))
        if not self.options.prefixes or not isinstance(key, str):
            return hashes
        prefixes = [prefix for prefix in self.options.prefixes if key.startswith(prefix)]
        return (*hashes, *(space.tag_hash(self.tenant, prefix_tag(self.options.name, prefix)) for prefix in prefixes))

    def _by_tags(self, keys: Sequence[Key], tags: Sequence[str]) -> dict[tuple[int, ...], list[Key]]:
        """Return the distinct *keys* by the tags that their entries carry: one group unless prefixes are declared."""
        groups: dict[tuple[int, ...], list[Key]] = {}
        for key in dict.fromkeys(keys):
            groups.setdefault(self._tags(tags, key), []).append(key)
        return groups

    def _demands(self, consistency: ReadConsistency | None) -> tuple[bool, int]:
        """Return whether a read must be strong, and the least version that will do."""
        chosen = consistency or self.options.consistency
        return demands(chosen, 0.0 if chosen in ("eventual", "strong") else self.place.node.announcer.lag_s())

    def _check_open(self) -> None:
        if self.place.node.is_closed:
            raise ClosedError


def _no_local(_key: Key) -> Any:
    return MISS


def _check_ttl(ttl_s: float | None) -> None:
    if ttl_s is not None and not ttl_s > 0:
        raise ConfigurationError(f"ttl_s={ttl_s}: must be greater than 0")
