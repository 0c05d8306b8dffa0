"""
The report as a page of its own, for who would rather look than read a terminal.
"""

from __future__ import annotations

import html
import json
from typing import Any

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Tiercel demo</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}}
table{{border-collapse:collapse;width:100%}}th,td{{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #8884}}
th:first-child,td:first-child{{text-align:left}}.bar{{background:#2a78;height:.8rem;display:block}}</style>
<h1>Tiercel demo</h1><p>{headline}</p><table><caption>Hit rate by data type</caption>
<tr><th scope="col">data type<th scope="col">requests<th scope="col">hit rate<th scope="col"
style="width:40%"></tr>{rows}</table>
<p><a href="/report.json">report.json</a></p></html>"""


def page_of(figures: dict[str, Any]) -> str:
    """Return the page."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{row['requests']:,}<td>{row['hit_rate'] * 100:.1f} %"
        f'<td><span class="bar" style="width:{row["hit_rate"] * 100:.1f}%"></span></tr>'
        for name, row in figures["data_types"].items()
    )
    headline = (
        f"{figures['pages']:,} pages in {figures['seconds']:.1f} s, {figures['consistency']['compared']:,} values "
        f"compared with the stores, {figures['consistency']['wrong']} wrong"
    )
    return PAGE.format(headline=html.escape(headline), rows=rows)


def serve_report(figures: dict[str, Any], port: int) -> None:
    """Serve the page and its figures on loopback until interrupted."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    async def page(_: Request) -> Response:
        return HTMLResponse(page_of(figures))

    async def report(_: Request) -> Response:
        return Response(json.dumps(figures), media_type="application/json")

    application = Starlette(routes=[Route("/", page), Route("/report.json", report)])
    uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning")
