"""
The report as a page of the dashboard, for who would rather look than read a terminal.
"""

from __future__ import annotations

import html
from typing import Any

from starlette.responses import Response

from tiercel.service.dispatch import Call, Endpoint

__all__ = ["REPORT_PATH", "page_of", "report_pages"]

REPORT_PATH = "/demo"
# The dashboard's own style sheet, and no other style: its content security policy allows no more.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tiercel demo</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/static/tiercel.css"></head>
<body><header><a class="brand" href="/">Tiercel</a></header>
<main><h1>Demo report</h1><p>{headline}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Data types"><table><caption>Hit rate by data type</caption>
<thead><tr><th scope="col">Data type</th><th scope="col" class="n">Requests</th><th scope="col" class="n">Hit rate</th>
<th scope="col">Hits of all reads</th></tr></thead><tbody>{rows}</tbody></table></div>
<p><a href="/demo/report.json">report.json</a> has all figures; the <a href="/">dashboard</a> goes on.</p></main>
</body></html>
"""


def page_of(figures: dict[str, Any]) -> str:
    """Return the page."""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td class="n">{row["requests"]:,}</td>'
        f'<td class="n">{row["hit_rate"] * 100:.1f} %</td>'
        f'<td><meter aria-label="hit rate of {html.escape(name)}" value="{row["hit_rate"]:.4f}"></meter></td></tr>'
        for name, row in figures["data_types"].items()
    )
    headline = (
        f"{figures['pages']:,} pages in {figures['seconds']:.1f} s, {figures['consistency']['compared']:,} values "
        f"compared with the stores, {figures['consistency']['wrong']} wrong"
    )
    return PAGE.format(headline=html.escape(headline), rows=rows)


def report_pages(figures: dict[str, Any]) -> list[Endpoint]:
    """Return what the dashboard answers beside its own: the page, and the figures as JSON."""

    async def page(_: Call) -> Response:
        return Response(page_of(figures), media_type="text/html")

    async def report(_: Call) -> dict[str, Any]:
        return figures

    return [
        Endpoint(method="GET", path=REPORT_PATH, answer=page, is_page=True, role="viewer", summary="Demo report"),
        Endpoint(method="GET", path=f"{REPORT_PATH}/report.json", answer=report, role="viewer"),
    ]
