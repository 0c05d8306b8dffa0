"""
The publisher of a static site: a folder on disk becomes objects at an edge, in an order that never shows a broken page.

1. Hashed assets go up first; a path that is there already is not sent again, which is what makes a run resumable.
2. Pages and other fixed names follow; a changed one is purged at the edge.
3. The manifest is replaced, and the run is added to the generations.
4. Generations beyond those that are kept are collected.

A run that dies leaves the old site whole; the next run sends only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tiercel._async.edge_distribution import AsyncDistribution
from tiercel._core.clock import SystemClock
from tiercel._edges.sitefiles import list_site, read_file
from tiercel._paired import async_gather, async_run_blocking
from tiercel.cdn.assets import Asset, name_assets
from tiercel.cdn.generations import (
    GENERATIONS,
    MANIFEST,
    Generation,
    collect,
    generations_text,
    manifest_text,
    read_generations,
)
from tiercel.cdn.objects import Published
from tiercel.cdn.site import SiteOptions, SiteReport
from tiercel.typing import Clock


class AsyncSitePublisher:
    """
    Publishes sites to one edge.

    Args:
        edge: Where to.
        options: See `SiteOptions`.
        clock: Time of generations; the system's where None.
        progress: Hears (files done, files in all, path) after each file.
    """

    def __init__(
        self,
        edge: AsyncDistribution,
        options: SiteOptions | None = None,
        *,
        clock: Clock | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self._edge = edge
        self._clock = clock or SystemClock()
        self._options = options or SiteOptions()
        self._progress = progress

    async def plan(self, root: Path) -> SiteReport:
        """Return what `publish` would do, without changing anything; asks the origin about every file."""
        report = SiteReport()
        assets = await self._assets(root)
        for asset in assets:
            before = await self._edge.fetch(asset.path)
            body = await self._body(root, asset)
            is_same = before is not None and (asset.immutable or before.body == body)
            (report.unchanged if is_same else report.published).append(asset.path)
            report.sent_bytes += 0 if is_same else asset.size_bytes
            report.manifest[asset.name] = asset.path
        report.removed = self._collected(await self._generations(assets))[1]
        return report

    async def publish(self, root: Path) -> SiteReport:
        """
        Publish every file below *root*.

        Raises:
            ConfigurationError: an empty folder, a bad option, or two files at one path.
            TierUnavailable: the origin failed; run it again, and it continues.
        """
        report = SiteReport()
        assets = await self._assets(root)
        for group in (True, False):  # hashed names first
            members = [asset for asset in assets if asset.immutable is group]
            for start in range(0, len(members), self._options.concurrency):
                chunk = members[start : start + self._options.concurrency]
                done = await async_gather(*[self._put(root, asset) for asset in chunk])
                self._note(report, chunk, done, len(assets))
        report.manifest = {asset.name: asset.path for asset in assets}
        staying, gone = self._collected(await self._generations(assets))
        await self._put_text(MANIFEST, manifest_text(report.manifest, self._clock.wall()))
        # Removed before it is forgotten: a crash in between is made good by the next run.
        for path in gone:
            await self._edge.remove(path)
        await self._put_text(GENERATIONS, generations_text(staying))
        report.removed = gone
        return report

    async def _assets(self, root: Path) -> list[Asset]:
        options = self._options
        files = await async_run_blocking(list_site, root)

        def read(name: str) -> bytes:
            return read_file(root, name)

        return await async_run_blocking(
            name_assets, files, read, base=options.base, fixed=options.fixed, rewrite=options.rewrite
        )

    async def _body(self, root: Path, asset: Asset) -> bytes:
        return asset.text if asset.text is not None else await async_run_blocking(read_file, root, asset.name)

    async def _put(self, root: Path, asset: Asset) -> Published:
        options = self._options
        return await self._edge.publish(
            asset.path,
            await self._body(root, asset),
            content_type=asset.content_type,
            ttl_s=options.ttl_s,
            tags=options.tags,
            immutable=asset.immutable,
            grace_s=0.0 if asset.immutable else options.grace_s,
            tenant=options.tenant,
            browser_ttl_s=options.browser_ttl_s,
        )

    async def _put_text(self, name: str, text: bytes) -> None:
        await self._edge.publish(
            self._options.base + name,
            text,
            content_type="application/json",
            ttl_s=60.0,
            tenant=self._options.tenant,
            browser_ttl_s=0.0,
        )

    async def _generations(self, assets: Sequence[Asset]) -> list[Generation]:
        """Return the earlier generations and this one; the same paths again are no new generation."""
        found = await self._edge.fetch(self._options.base + GENERATIONS)
        earlier = [] if found is None else read_generations(found.body)
        now = Generation(self._clock.wall(), tuple(sorted(asset.path for asset in assets)))
        return earlier if earlier and earlier[-1].paths == now.paths else [*earlier, now]

    def _collected(self, generations: Sequence[Generation]) -> tuple[list[Generation], list[str]]:
        options = self._options
        return collect(generations, keep=options.keep, keep_s=options.keep_s, now=self._clock.wall())

    def _note(self, report: SiteReport, assets: Sequence[Asset], done: Sequence[Published], total: int) -> None:
        for asset, published in zip(assets, done, strict=True):
            (report.published if published.changed else report.unchanged).append(asset.path)
            report.sent_bytes += asset.size_bytes if published.changed else 0
            if published.ticket is not None:
                report.tickets.append(published.ticket)
            if self._progress is not None:
                self._progress(len(report.published) + len(report.unchanged), total, asset.path)
