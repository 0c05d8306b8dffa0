"""
The report as a page of its own, for who would rather look than read a terminal.
"""

from __future__ import annotations

import html
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def handler_of(figures: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    """Return what answers requests: the page at ``/``, the figures at ``/report.json``."""
    bodies = {
        "/": ("text/html; charset=utf-8", page_of(figures).encode()),
        "/report.json": ("application/json", json.dumps(figures).encode()),
    }

    class ReportHandler(BaseHTTPRequestHandler):
        """Answers from what was made once."""

        def do_GET(self) -> None:
            """Answer a request."""
            kind, body = bodies.get(self.path, ("", b""))
            self.send_response(HTTPStatus.OK if body else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Say nothing: the terminal shows the report."""

    return ReportHandler


def serve_report(figures: dict[str, Any], port: int) -> None:
    """Serve the page and its figures on loopback until interrupted."""
    with ThreadingHTTPServer(("127.0.0.1", port), handler_of(figures)) as server:
        server.serve_forever()
