"""
``tiercel report``: hit rates, response times, load saved and journal lag, overall and per data type.
"""

from __future__ import annotations

import json

import click

from tiercel.cli._output import json_option, print_json, print_table
from tiercel.cli._reports import DEFAULT_SERVICE, read_report
from tiercel.observe.reporttable import render_report

__all__ = ["command"]


@click.command("report")
@click.argument("source", default=DEFAULT_SERVICE)
@json_option
def command(source: str, as_json: bool) -> None:
    """Show the report at SOURCE: a service's URL, a JSON file, or - for standard input."""
    report = read_report(source)
    if as_json:
        print_json(json.loads(report.to_json()))
    else:
        print_table(render_report(report))
