"""
``tiercel check``: reads a matrix file, shows what each row means, and names every mistake with its line.

Exit code 1 where the file has mistakes; cautions alone leave it 0, unless ``--strict``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tiercel._core.alertrules import METRICS, AlertRule
from tiercel._core.durations import format_duration
from tiercel._core.matrixwords import meaning_of
from tiercel._core.storeurl import redact_url
from tiercel.cli._exits import DONE, NO
from tiercel.cli._output import json_option, print_json, print_table
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.options import EntityRule, RegionOptions

__all__ = ["alert_table", "command", "matrix_table"]


@click.command("check")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--strict", is_flag=True, help="Exit 1 on cautions too.")
@json_option
def command(file: Path, strict: bool, as_json: bool) -> int:
    """
    Read the matrix FILE, laid over the built-in data types, and show what it means.

    Exit code 0: sound; 1: mistakes (with --strict also cautions).
    """
    try:
        matrix = Matrix.from_toml(file)
    except ConfigurationError as error:
        return _report_mistakes(str(error).splitlines(), as_json)
    cautions = matrix.warnings()
    if as_json:
        warnings = [{"subject": caution.subject, "message": caution.message} for caution in cautions]
        print_json({"ok": True, "errors": [], "warnings": warnings, **matrix_as_json(matrix)})
    else:
        print_table(matrix_table(matrix))
        for caution in cautions:
            print_table(f"[yellow]caution[/] {escape(caution.subject)}: {escape(caution.message)}")
    return NO if strict and cautions else DONE


def _report_mistakes(mistakes: list[str], as_json: bool) -> int:
    if as_json:
        print_json({"ok": False, "errors": mistakes, "warnings": []})
    else:
        for mistake in mistakes:
            click.echo(mistake, err=True)
        click.echo(f"{len(mistakes)} mistake{'s' * (len(mistakes) != 1)}", err=True)
    return NO


def matrix_table(matrix: Matrix) -> RenderableType:
    """Return the matrix as tables: data types, entities and alerts."""
    parts: list[RenderableType] = [_region_table(matrix.regions)]
    if matrix.entities:
        parts.append(_entity_table(matrix.entities))
    if matrix.alerts:
        parts.append(alert_table(matrix.alerts))
    return Group(*parts)


def _region_table(regions: Mapping[str, RegionOptions]) -> Table:
    table = Table(title="Data types", title_justify="left", show_lines=True)
    for heading in ("data type", "tiers", "ttl", "strategy", "store", "means"):
        table.add_column(heading, no_wrap=heading in {"data type", "ttl", "strategy"})
    for region in regions.values():
        table.add_row(
            region.name,
            " → ".join(region.tiers),
            format_duration(region.ttl_s),
            region.strategy,
            escape(_shown_store(region) or "none"),
            escape(meaning_of(region)),
        )
    return table


def _entity_table(entities: Mapping[str, EntityRule]) -> Table:
    table = Table(title="What falls when an entity changes", title_justify="left")
    for heading in ("entity", "entries", "tags", "paths"):
        table.add_column(heading)
    for rule in entities.values():
        table.add_row(rule.name, *(escape(", ".join(names)) for names in (rule.regions, rule.tags, rule.paths)))
    return table


def alert_table(alerts: tuple[AlertRule, ...]) -> Table:
    """Return the alert rules as a table."""
    table = Table(title="Alerts", title_justify="left")
    for heading in ("alert", "fires when", "for", "where", "severity"):
        table.add_column(heading)
    for rule in alerts:
        side = "above" if rule.above is not None else "below"
        condition = f"{rule.metric} is {side} {rule.threshold:g} ({METRICS[rule.metric].unit})"
        where = {"": "the whole cache", "*": "each data type"}.get(rule.region, rule.region)
        table.add_row(rule.name, condition, format_duration(rule.for_s), where, rule.severity)
    return table


def matrix_as_json(matrix: Matrix) -> dict[str, Any]:
    """Return the matrix as plain values, passwords redacted."""
    regions = {
        region.name: {
            "tiers": list(region.tiers),
            "ttl_s": region.ttl_s,
            "strategy": region.strategy,
            "store": _shown_store(region),
            "means": meaning_of(region),
        }
        for region in matrix.regions.values()
    }
    entities = {
        rule.name: {"regions": list(rule.regions), "tags": list(rule.tags), "paths": list(rule.paths)}
        for rule in matrix.entities.values()
    }
    return {"regions": regions, "entities": entities, "alerts": [rule.name for rule in matrix.alerts]}


def _shown_store(region: RegionOptions) -> str | None:
    return None if region.store is None else redact_url(region.store)
