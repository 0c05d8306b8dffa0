"""
Figures of several processes of one application, shared through a folder: one file a process, merged where they are
read.

A server with worker processes answers a scrape in any of them; each publishes its snapshot (the monitor does so at
every sample), and the one that is asked merges all. Counters of a process that ended still count, so that sums never
go back; its connections, journals and memory do not. Empty the folder when the application starts, with `clear`.

A file is replaced as a whole, so that a reader never sees half of one; a file that cannot be read is left out and
logged.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from tiercel._core.histogram import Histogram
from tiercel._core.journal import JournalStats
from tiercel._core.linkoptions import LinkHealth, NodeHealth
from tiercel.observe.snapshot import RegionFigures, Snapshot, TierFigures

__all__ = ["SharedFigures", "merge_snapshots"]

_log = logging.getLogger("tiercel.observe")
_SUFFIX: Final = ".figures"


class SharedFigures:
    """
    The figures of all processes that use one folder.

    Args:
        folder: Made where it is missing; on a local disk, best one in memory such as ``/dev/shm``.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def publish(self, snapshot: Snapshot) -> None:
        """Replace what this process published before; raises OSError where the folder cannot be written."""
        name = f"{os.getpid()}-{snapshot.started_at_s:.6f}"
        unfinished = self._folder / f".{name}"
        unfinished.write_bytes(msgspec.msgpack.encode(snapshot, enc_hook=_encode))
        unfinished.replace(self._folder / f"{name}{_SUFFIX}")

    def merged(self, own: Snapshot) -> Snapshot:
        """Publish *own*, this process's figures, and return the sum over all processes."""
        self.publish(own)
        return merge_snapshots(own.at_s, self._read())

    def clear(self) -> None:
        """Forget every process, the running ones until they publish again."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            path.unlink(missing_ok=True)

    def _read(self) -> Iterator[Snapshot]:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                snapshot = msgspec.msgpack.decode(path.read_bytes(), type=Snapshot, dec_hook=_decode)
            except (OSError, msgspec.MsgspecError) as error:
                _log.warning("%s is left out: %s", path, error)
                continue
            yield snapshot if _is_alive(int(path.name.partition("-")[0])) else _without_state(snapshot)


def merge_snapshots(at_s: float, snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sum of *snapshots* at *at_s*; of gauges and of ages the largest."""
    total = Snapshot(at_s=at_s, started_at_s=at_s, regions={})
    for snapshot in snapshots:
        total.started_at_s = min(total.started_at_s, snapshot.started_at_s)
        for name, figures in snapshot.regions.items():
            known = total.regions.get(name)
            total.regions[name] = figures if known is None else _merge_regions(known, figures)
        for region, journal in snapshot.journals.items():
            other = total.journals.get(region)
            total.journals[region] = journal if other is None else _merge_journals(other, journal)
        for name, link in snapshot.links.items():
            seen = total.links.get(name)
            total.links[name] = link if seen is None else _merge_links(seen, link)
        _add(total.events, snapshot.events)
        for region, tenants in snapshot.tenants.items():
            for tenant, outcomes in tenants.items():
                _add(total.tenants.setdefault(region, {}).setdefault(tenant, {}), outcomes)
        for name, value in snapshot.gauges.items():
            total.gauges[name] = max(value, total.gauges.get(name, value))
    return total


def _merge_regions(one: RegionFigures, other: RegionFigures) -> RegionFigures:
    _add(one.counts, other.counts)
    one.load_latency.merge(other.load_latency)
    one.write_latency.merge(other.write_latency)
    one.slow_reads += other.slow_reads
    one.slow_hits += other.slow_hits
    for name, tier in other.tiers.items():
        known = one.tiers.get(name)
        if known is None:
            one.tiers[name] = tier
        else:
            _merge_tiers(known, tier)
    return one


def _merge_tiers(one: TierFigures, other: TierFigures) -> None:
    _add(one.counts, other.counts)
    one.latency.merge(other.latency)
    one.size.merge(other.size)
    one.entries += other.entries
    one.size_bytes += other.size_bytes
    one.bound_share = max(one.bound_share, other.bound_share)


def _merge_journals(one: JournalStats, other: JournalStats) -> JournalStats:
    return JournalStats(
        depth=one.depth + other.depth,
        size_bytes=one.size_bytes + other.size_bytes,
        oldest_age_s=max(one.oldest_age_s, other.oldest_age_s),
        flushed=one.flushed + other.flushed,
        coalesced=one.coalesced + other.coalesced,
        retried=one.retried + other.retried,
        dead=one.dead + other.dead,
        last_error=one.last_error or other.last_error,
    )


def _merge_links(one: LinkHealth, other: LinkHealth) -> LinkHealth:
    nodes = dict(one.nodes)
    for name, node in other.nodes.items():
        nodes[name] = _merge_nodes(nodes[name], node) if name in nodes else node
    return replace(one, nodes=nodes, coverage=min(one.coverage, other.coverage))


def _merge_nodes(one: NodeHealth, other: NodeHealth) -> NodeHealth:
    """Return a node as two processes see it: counts summed, and the worse of two states."""
    sums = ("breaker_opened", "connections", "in_flight", "reconnects", "commands", "errors")
    added: dict[str, Any] = {name: getattr(one, name) + getattr(other, name) for name in sums}
    worse = other if one.breaker == "closed" else one
    return replace(
        one,
        is_connected=one.is_connected and other.is_connected,
        breaker=worse.breaker,
        last_error=one.last_error or other.last_error,
        latency_s=max(one.latency_s, other.latency_s),
        **added,
    )


def _without_state(snapshot: Snapshot) -> Snapshot:
    """Return what still counts of a process that ended."""
    for region in snapshot.regions.values():
        for tier in region.tiers.values():
            tier.entries, tier.size_bytes, tier.bound_share = 0, 0, 0.0
    return replace(snapshot, links={}, journals={}, gauges={})


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists, under another user
    return True


def _add(totals: dict[Any, int], more: dict[Any, int]) -> None:
    for name, count in more.items():
        totals[name] = totals.get(name, 0) + count


def _encode(value: Any) -> Any:
    if isinstance(value, Histogram):
        filled = {index: count for index, count in enumerate(value.counts) if count}
        return {"units_per_one": value.units_per_one, "total": value.total, "maximum": value.maximum, "filled": filled}
    raise TypeError(f"a snapshot holds no {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is not Histogram:
        raise TypeError(f"a snapshot holds no {kind.__name__}")
    histogram = Histogram(value["units_per_one"])
    histogram.total, histogram.maximum = value["total"], value["maximum"]
    for index, count in value["filled"].items():
        histogram.counts[index] = count
    return histogram
