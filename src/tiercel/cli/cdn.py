"""
``tiercel cdn``: purges a CDN, follows its purges and their cost, probes URLs, checks settings, signs links.

The edge is named by ``--edge URL`` or by the ``cdn`` of the matrix that ``--matrix FILE`` names.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.markup import escape
from rich.table import Table

from tiercel._core.durations import parse_duration
from tiercel._core.keys import KeySpace
from tiercel._core.linkoptions import LinkOptions
from tiercel._edges.s3 import S3Origin
from tiercel._sync.edge import open_edge
from tiercel._sync.edge_distribution import Distribution
from tiercel._sync.edge_turn import Turn, turns_by
from tiercel._sync.link import open_link
from tiercel._sync.purger import Purger
from tiercel.cdn.budget import spending
from tiercel.cdn.planner import plan
from tiercel.cdn.probe import ProbeReport, read_probe
from tiercel.cdn.purge import PurgeItem, PurgeRequest, PurgeTicket
from tiercel.cdn.signing import AccessPolicy, Algorithm, Signer
from tiercel.cdn.tagdictionary import Meaning
from tiercel.cli._edge import diagnose
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_finding, print_json, print_table, progress
from tiercel.errors import ConfigurationError, TierError, TierUnavailable
from tiercel.options import CacheOptions
from tiercel.typing import GLOBAL

__all__ = ["Duration", "EdgeChoice", "command", "edge_options"]


class Duration(click.ParamType[float]):
    """A duration option: ``90s``, ``1h``; seconds as float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds, or fail as wrong usage."""
        try:
            return float(value) if isinstance(value, float) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclasses.dataclass(frozen=True, slots=True)
class EdgeChoice:
    """Which edge a command means: ``--edge``, ``--matrix`` and ``--state-dir`` as they were given."""

    url: str | None
    matrix: Path | None
    state_dir: Path | None

    @contextmanager
    def open(self, *, durable: bool = True) -> Iterator[Distribution]:
        """Open the edge without background work and close it in the end; without *durable* no purge log is touched."""
        settings = load_matrix(self.matrix).cache
        url = self.url or settings.cdn
        if url is None:
            raise ConfigurationError("no edge: add --edge URL, or --matrix FILE whose [cache] names a cdn")
        state_dir = self.state_dir or Path(settings.state_dir) if durable else None
        with _turns(settings) if durable else nullcontext() as turns:
            edge = open_edge(url, state_dir=state_dir, start=False, turns=turns)
            try:
                yield edge
            finally:
                edge.close()


@contextmanager
def _turns(settings: CacheOptions) -> Iterator[Callable[[str, float], Turn] | None]:
    """Give what lends turns at a distribution: the matrix's Redis, as for the application; None without one."""
    if settings.redis is None:
        yield None
        return
    try:
        link = open_link(settings.redis, options=LinkOptions(connect_timeout_s=2.0))
    except TierError as error:
        progress(f"sending without a turn, as Redis does not answer: {error}")
        yield None
        return
    try:
        yield turns_by(link, KeySpace(settings.namespace))
    finally:
        link.close()


def edge_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add ``--edge``, ``--matrix`` and ``--state-dir``, handed to *function* as one `EdgeChoice` called ``where``."""

    @click.option("--edge", metavar="URL", help="The edge, for example folder:///srv/edge.")
    @click.option("--matrix", type=click.Path(dir_okay=False, path_type=Path), help="Take the edge from FILE.")
    @click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Where purges are kept.")
    @functools.wraps(function)
    def with_edge(edge: str | None, matrix: Path | None, state_dir: Path | None, **others: Any) -> int:
        return function(where=EdgeChoice(edge, matrix, state_dir), **others)

    return with_edge


@click.group("cdn")
def command() -> None:
    """Purge a CDN, follow its purges and their cost, probe URLs, check settings, sign links."""


@command.command("purge")
@edge_options
@click.option("--path", "paths", multiple=True, help="A URL path; one that ends in * is a prefix.")
@click.option("--tag", "tags", multiple=True, help="A tag of the tenant.")
@click.option("--host", "hosts", multiple=True, help="A host name.")
@click.option("--all", "everything", is_flag=True, help="Everything of the tenant, or of the edge.")
@click.option("--tenant", default=GLOBAL, show_default=True, help="Whose tags, and whose quota.")
@click.option("--soft", is_flag=True, help="Mark stale instead of removing, where the CDN can.")
@click.option("--remove", is_flag=True, help="Also remove what is published, not only the edge's copies.")
@click.option(
    "--wait",
    "wait_s",
    default="60s",
    type=Duration(),
    show_default=True,
    help="How long to wait for completion; 0s to return at once.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@json_option
def purge(where: EdgeChoice, wait_s: float, dry_run: bool, as_json: bool, remove: bool, **named: Any) -> int:
    """
    Make copies fall at the edge.

    Exit code 0: complete, or stored to be sent; 1: refused by the CDN.
    """
    if not any(named[what] for what in ("paths", "tags", "hosts", "everything")):
        raise click.UsageError("nothing to purge: add --path, --tag, --host or --all")
    request = PurgeRequest(**named, keep_origin=not remove)
    with where.open(durable=not dry_run) as edge:
        if dry_run:
            _show_plan(edge, request, as_json)
            return DONE
        ticket = edge.purge(request)
        status = _follow(edge, ticket, wait_s)
    if as_json:
        print_json({"edge": ticket.edge, "ticket": ticket.id, "items": ticket.items, **dataclasses.asdict(status)})
    else:
        print_table(f"{ticket.items} items at {escape(ticket.edge)}: [bold]{status.state}[/] {escape(status.detail)}")
    return NO if status.state == "failed" else DONE


@command.command("status")
@edge_options
@click.option("--replay", is_flag=True, help="Ask again for every dead letter.")
@click.option("--show", "shown", default=20, show_default=True, type=click.IntRange(0), help="Waiting items to show.")
@json_option
def status(where: EdgeChoice, replay: bool, shown: int, as_json: bool) -> int:
    """
    Show what waits, what is on its way, and the dead letters, each tag with what it stands for.

    Exit code 0: no dead letters; 1: there are some.
    """
    with where.open() as edge:
        purger = _purger(edge)
        replayed = purger.log.replay(time.time()) if replay else 0
        counts = purger.log.counts()
        waiting = purger.log.pending(shown)
        letters = purger.log.dead()
        meanings = purger.log.meanings([row.item.value for row in waiting] + [item.value for _, item, _ in letters])
    dead = [{"item": number, **_described(item, meanings), "reason": why} for number, item, why in letters]
    rows = [{"item": row.id, "tenant": row.tenant, **_described(row.item, meanings)} for row in waiting]
    if as_json:
        print_json({"edge": edge.name, "replayed": replayed, **counts, "waiting": rows, "dead_letters": dead})
    else:
        table = Table("state", "items", title=edge.name, title_justify="left")
        for name, count in counts.items():
            table.add_row(name, str(count))
        print_table(table)
        for row in rows:
            print_table(f"waiting {_line(row)}")
        for letter in dead:
            print_table(f"[red]dead[/] {_line(letter)}: {escape(str(letter['reason']))}")
    return NO if dead else DONE


@command.command("cost")
@edge_options
@click.option("--budget", type=float, help="US dollars a month; the edge's own budget otherwise.")
@json_option
def cost(where: EdgeChoice, budget: float | None, as_json: bool) -> int:
    """
    Show what purging cost this month, what the month will cost, and what it would have cost item by item.

    Exit code 0: within the budget; 1: the limit is reached.
    """
    with where.open() as edge:
        purger = _purger(edge)
        now = time.time()
        plan_ = (
            purger.options.budget if budget is None else dataclasses.replace(purger.options.budget, usd_month=budget)
        )
        items, asked = purger.log.spent(now), purger.log.counts()["asked_total"]
    spent = spending(plan_, items, now)
    figures = {
        "edge": edge.name,
        "items_this_month": items,
        "cost_usd": round(spent.cost_usd, 4),
        "forecast_usd": round(spent.forecast_usd, 4),
        "asked_in_all": asked,
        "one_by_one_usd": round(plan_.cost_usd(asked), 4),
        "budget_usd": plan_.usd_month,
        "budget_used": round(spent.budget_used, 4),
        "state": spent.state,
    }
    _print_figures(figures, as_json)
    return NO if spent.state == "limit" else DONE


@command.command("probe")
@click.argument("url")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send this header too.")
@click.option("--times", default=2, show_default=True, type=click.IntRange(1, 20), help="How often to ask.")
@json_option
def probe(url: str, headers: tuple[str, ...], times: int, as_json: bool) -> int:
    """
    Ask URL and print what every cache on the way says about it.

    Exit code 0: the last answer came from a cache; 1: it did not, or no cache says.
    """
    sent = dict(_header(text) for text in headers)
    reports = [_ask(url, sent) for _ in range(times)]
    if as_json:
        print_json({"url": url, "answers": [{**dataclasses.asdict(one), "verdict": one.verdict} for one in reports]})
    else:
        for number, report in enumerate(reports, 1):
            _print_probe(number, report)
    return DONE if reports[-1].verdict == "hit" else NO


@command.command("doctor")
@edge_options
@json_option
def doctor(where: EdgeChoice, as_json: bool) -> int:
    """
    Check that the edge can be reached and is set up for what Tiercel asks of it.

    Exit code 0: nothing worse than a warning; 1: an error was found.
    """
    with where.open() as edge:
        findings = list(diagnose(edge))
    if as_json:
        print_json({"edge": edge.name, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print_finding(finding.level, finding.subject, finding.message, finding.action)
    return NO if any(finding.level == "error" for finding in findings) else DONE


@command.command("sign")
@click.argument("url")
@click.option("--key-id", help="Id of the public key at the CDN.")
@click.option(
    "--key", "key_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Private key, PEM."
)
@click.option(
    "--expires", "expires_s", default="1h", type=Duration(), show_default=True, help="From now until the end."
)
@click.option("--starts", "starts_s", type=Duration(), help="From now until the begin; makes the policy custom.")
@click.option("--address", help="Only for this client address or range; makes the policy custom.")
@click.option("--cookies", is_flag=True, help="Print cookies instead of a URL; URL may hold wildcards.")
@click.option("--hash", "algorithm", type=click.Choice(["SHA256", "SHA1"]), default="SHA256", show_default=True)
@click.option("--presign", is_flag=True, help="URL is a path of the edge's S3 origin: presign a GET of it.")
@edge_options
@json_option
def sign(
    url: str, key_id: str | None, key_file: Path | None, expires_s: float, starts_s: float | None, address: str | None,
    cookies: bool, algorithm: Algorithm, presign: bool, where: EdgeChoice,
    as_json: bool,
) -> int:  # fmt: skip
    """Sign URL, so that who holds the link may fetch it until it expires."""
    if presign:
        with where.open() as edge:
            if not isinstance(edge.origin, S3Origin):
                raise ConfigurationError("--presign needs an edge with an S3 origin")
            signed: dict[str, str] = {"url": edge.origin.presign(url, int(expires_s))}
    else:
        if key_id is None or key_file is None:
            raise click.UsageError("--key-id and --key are needed to sign for CloudFront")
        signer = Signer(key_id, key_file.read_bytes(), algorithm=algorithm)
        now = int(time.time())
        begins_s = None if starts_s is None else now + int(starts_s)
        policy = AccessPolicy(resource=url, expires_s=now + int(expires_s), starts_s=begins_s, address=address)
        signed = signer.cookies(policy) if cookies else {"url": signer.sign_url(url, policy)}
    if as_json:
        print_json(signed)
    else:
        click.echo(signed["url"] if "url" in signed else "\n".join(f"{name}={value}" for name, value in signed.items()))
    return DONE


def _show_plan(edge: Distribution, request: PurgeRequest, as_json: bool) -> None:
    items = request.items(edge.codec)
    planned = plan(edge.express(items), edge.capabilities)
    price = edge.capabilities.price_per_item
    named = request.named(edge.codec)
    batches = [[_line(_described(item, named)) for item in batch.items] for batch in planned.batches]
    figures = {
        "edge": edge.name,
        "requests": len(batches),
        "items": planned.items,
        "at_most_usd": planned.items * price,
    }
    if as_json:
        print_json({**figures, "batches": batches})
    else:
        _print_figures(figures, as_json)
        for line in (line for batch in batches for line in batch):
            print_table(line)


def _described(item: PurgeItem, meanings: Mapping[str, Meaning]) -> dict[str, str]:
    """Return an item for a report: a hashed tag with what it stands for, as far as that is known."""
    meaning = meanings.get(item.value) if item.kind == "tag" else None
    shown = {"kind": item.kind, "value": item.value}
    return shown if meaning is None else {**shown, "tag": meaning.tag, "of": meaning.tenant}


def _line(row: Mapping[str, Any]) -> str:
    known = f" ({row['tag']} of {row['of']})" if "tag" in row else ""
    return escape(f"{row['kind']} {row['value']}{known}")


def _follow(edge: Distribution, ticket: PurgeTicket, wait_s: float) -> Any:
    """Send and poll until the purge is complete or *wait_s* is over; another process that leads does the sending."""
    ends = time.monotonic() + wait_s
    status = edge.status(ticket)
    while status.state == "pending" and time.monotonic() < ends and edge.purger is not None:
        pause_s = edge.purger.step()
        status = edge.status(ticket)
        if status.state == "pending":
            progress(f"pending, {max(0, round(ends - time.monotonic()))} s left to wait")
            time.sleep(max(0.0, min(pause_s, 1.0, ends - time.monotonic())))
    return status


def _purger(edge: Distribution) -> Purger:
    if edge.purger is None:
        raise ConfigurationError(f"edge {edge.name!r} has no CDN: its purges are done at once, and cost nothing")
    return edge.purger


def _ask(url: str, headers: dict[str, str]) -> ProbeReport:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{url!r}: write a whole http:// or https:// URL")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=15)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "tiercel-probe", **headers})
        answer = connection.getresponse()
        answer.read(1)
        return read_probe(answer.status, {name.lower(): value for name, value in answer.getheaders()})
    except (OSError, http.client.HTTPException) as error:
        raise TierUnavailable(f"{url}: {error}") from error
    finally:
        connection.close()


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header {text!r}: write NAME:VALUE")
    return name.strip(), value.strip()


def _print_probe(number: int, report: ProbeReport) -> None:
    verdict = "no cache says what it did" if report.verdict == "unknown" else report.verdict
    print_table(f"answer {number}: {report.status}, {verdict}")
    table = Table("", "", show_header=False)
    for hop in report.hops:
        words = ["hit" if hop.is_hit else "no hit", *(f"{name}={value}" for name, value in hop.parameters.items())]
        table.add_row(escape(hop.cache), escape(", ".join(words)))
    table.add_row("age", "not said" if report.age_s is None else f"{report.age_s} s")
    for name, value in {**report.lifetime, **report.legacy, "etag": report.etag or "none"}.items():
        table.add_row(name, escape(value))
    print_table(table)


def _print_figures(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), "none" if value is None else str(value))
    print_table(table)
