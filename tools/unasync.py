"""
Generate ``src/tiercel/_sync`` (and ``tests/sync_``) from ``_async`` by renaming tokens, nothing else.

``python tools/unasync.py`` writes; ``--check`` writes nothing and exits 1 where a committed file differs, is missing or
is left over, where a rule of `RENAMES` matches nothing, or where ``async``, ``await`` or ``asyncio`` survives.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS = {"src/tiercel/_async": "src/tiercel/_sync", "tests/async_": "tests/sync_"}
HEADER = "# Generated from {source} by tools/unasync.py. Do not edit.\n"

# Whole identifiers. A rule that matches nothing fails the check, so that the table never outlives the code.
RENAMES: dict[str, str] = {
    "_async": "_sync",
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "AsyncCache": "Cache",
    "AsyncSqliteStore": "SqliteStore",
    "AsyncMemoryStore": "MemoryStore",
    "AsyncStore": "Store",
    "async_run_blocking": "run_blocking",
    "AsyncLock": "Lock",
    "AsyncLane": "Lane",
    "AsyncLink": "Link",
    "AsyncLaneLink": "LaneLink",
    "AsyncNode": "Node",
    "AsyncTopology": "Topology",
    "AsyncStandalone": "Standalone",
    "AsyncIterator": "Iterator",
    "async_gather": "gather",
    "async_sleep": "sleep",
    "AsyncFunction": "Function",
    "AsyncEvent": "Event",
    "AsyncJob": "Job",
    "async_spawn": "spawn",
    "AsyncJournal": "Journal",
    "AsyncFileJournal": "FileJournal",
    "AsyncMemoryJournal": "MemoryJournal",
    "AsyncFlusher": "Flusher",
    "AsyncFlushCrew": "FlushCrew",
    "AsyncAppender": "Appender",
    "AsyncWriteBehind": "WriteBehind",
    "AsyncWriteHandle": "WriteHandle",
    "AsyncRefresher": "Refresher",
    "AsyncRedisTier": "RedisTier",
    "AsyncGutterTier": "GutterTier",
    "AsyncHotPlace": "HotPlace",
    "AsyncHedge": "Hedge",
    "AsyncReplicas": "Replicas",
    "async_hedged": "hedged",
    "AsyncMemoryTier": "MemoryTier",
    "AsyncFarTier": "FarTier",
    "AsyncSealedTier": "SealedTier",
    "AsyncSealedJournal": "SealedJournal",
    "AsyncDiscreetStore": "DiscreetStore",
    "AsyncSubjectKeys": "SubjectKeys",
    "AsyncSeals": "Seals",
    "AsyncBackup": "Backup",
    "AsyncBackupSchedule": "BackupSchedule",
    "AsyncRestore": "Restore",
    "AsyncAuthority": "Authority",
    "AsyncRecovery": "Recovery",
    "AsyncEraser": "Eraser",
    "AsyncErasureWatch": "ErasureWatch",
    "AsyncTagBook": "TagBook",
    "AsyncPlace": "Place",
    "AsyncRegionCore": "RegionCore",
    "AsyncAnnouncer": "Announcer",
    "AsyncLooker": "Looker",
    "AsyncFiller": "Filler",
    "AsyncBulkFiller": "BulkFiller",
    "AsyncKeeper": "Keeper",
    "AsyncLoads": "Loads",
    "AsyncReader": "Reader",
    "AsyncExpress": "Express",
    "AsyncPolicyStore": "PolicyStore",
    "AsyncShadow": "Shadow",
    "AsyncFarPolicyStore": "FarPolicyStore",
    "AsyncFilePolicyStore": "FilePolicyStore",
    "AsyncPolicyBook": "PolicyBook",
    "AsyncPolicyFollower": "PolicyFollower",
    "AsyncEdgeReader": "EdgeReader",
    "AsyncWriter": "Writer",
    "AsyncStored": "Stored",
    "AsyncStage": "Stage",
    "async_explore": "explore",
    "AsyncGatedStore": "GatedStore",
    "AsyncWorld": "World",
    "AsyncNaive": "Naive",
    "AsyncSweep": "Sweep",
    "AsyncGuardedStore": "GuardedStore",
    "AsyncSweeper": "Sweeper",
    "async_finishing": "finishing",
    "AsyncSlowStore": "SlowStore",
    "AsyncFailingStore": "FailingStore",
    "AsyncHandle": "Handle",
    "AsyncInvalidator": "Invalidator",
    "AsyncRedelivery": "Redelivery",
    "AsyncBackplane": "Backplane",
    "AsyncReceipt": "Receipt",
    "AsyncRegion": "Region",
    "AsyncTenant": "Tenant",
    "AsyncAssembly": "Assembly",
    "AsyncFarStore": "FarStore",
    "AsyncPoll": "Poll",
    "async_gate": "gate",
    "async_hook": "hook",
    "async_call": "call",
    "async_follow": "follow",
    "async_detached": "detached",
    "async_alongside": "alongside",
    "async_may_wait": "may_wait",
    "wrap_async": "wrap",
    "AsyncCluster": "Cluster",
    "AsyncSentinel": "Sentinel",
    "AsyncEdge": "Edge",
    "AsyncPurger": "Purger",
    "AsyncDistribution": "Distribution",
    "AsyncSemaphore": "Semaphore",
    "AsyncPostgresStore": "PostgresStore",
    "AsyncConnection": "Connection",
    "AsyncConnectionPool": "ConnectionPool",
    "asynccontextmanager": "contextmanager",
    "AsyncRedisJournal": "RedisJournal",
    "AsyncPostgresJournal": "PostgresJournal",
    "AsyncFunctionStore": "FunctionStore",
    "AsyncExitStack": "ExitStack",
    "enter_async_context": "enter_context",
    "AsyncMongoStore": "MongoStore",
    "AsyncMongoClient": "MongoClient",
    "AsyncCollection": "Collection",
    "asynchronous": "synchronous",
    "AsyncSearchStore": "SearchStore",
    "AsyncSearchClient": "SearchClient",
    "AsyncElasticsearchClient": "ElasticsearchClient",
    "AsyncElasticsearch": "Elasticsearch",
    "AsyncOpenSearchClient": "OpenSearchClient",
    "AsyncOpenSearch": "OpenSearch",
    "AsyncOutboxStore": "OutboxStore",
    "AsyncOutbox": "Outbox",
    "AsyncPost": "Post",
    "AsyncWorker": "Worker",
    "AsyncWatch": "Watch",
    "AsyncFollower": "Follower",
    "AsyncApplier": "Applier",
    "AsyncChangeLease": "ChangeLease",
    "AsyncChangeFeed": "ChangeFeed",
    "AsyncSlot": "Slot",
    "AsyncPostgresChanges": "PostgresChanges",
    "AsyncMongoChanges": "MongoChanges",
    "AsyncSearchChanges": "SearchChanges",
    "AsyncShop": "Shop",
    "AsyncFollowed": "Followed",
    "async_shopping": "shopping",
    "AsyncClientSession": "ClientSession",
    "async_": "sync_",
    "AsyncFaultyStore": "FaultyStore",
    "AsyncSitePublisher": "SitePublisher",
    "AsyncJournalPlaces": "JournalPlaces",
    "AsyncOriginGate": "OriginGate",
    "AsyncPublication": "Publication",
    "AsyncOverlay": "Overlay",
    "AsyncTurn": "Turn",
    "AsyncApiResponse": "ApiResponse",
}
# Syntax that has no identifier of its own.
SYNTAX = [
    (re.compile(r"\basync (def|with|for)\b"), r"\1"),
    (re.compile(r"\bawait "), ""),
]
SURVIVORS = re.compile(r"\b(async|await|asyncio)\b")
IDENTIFIER = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b")


def translate(text: str, used: set[str]) -> str:
    """Return the blocking twin of *text*, adding the rules that matched to *used*."""
    for pattern, replacement in SYNTAX:
        text = pattern.sub(replacement, text)

    def rename(match: re.Match[str]) -> str:
        word = match.group()
        if word in RENAMES:
            used.add(word)
            return RENAMES[word]
        return word

    return IDENTIFIER.sub(rename, text)


def generate() -> tuple[dict[Path, str], list[str]]:
    """Return every generated file's text by path, and what is wrong with the sources or the rules."""
    used: set[str] = set()
    files: dict[Path, str] = {}
    problems: list[str] = []
    for source_dir, target_dir in PAIRS.items():
        for source in sorted((ROOT / source_dir).rglob("*.py")):
            target = ROOT / target_dir / source.relative_to(ROOT / source_dir)
            body = translate(source.read_text(encoding="utf-8"), used)
            files[target] = HEADER.format(source=source.relative_to(ROOT)) + body
            for number, line in enumerate(body.splitlines(), 1):
                if SURVIVORS.search(line):
                    problems.append(f"{target.relative_to(ROOT)}:{number + 1}: survives the renaming: {line.strip()}")
    problems += [f"tools/unasync.py: unused rule {rule!r}" for rule in RENAMES if rule not in used]
    return files, problems


def compare(files: dict[Path, str]) -> list[str]:
    """Return what differs between *files* and the working tree, whole files compared."""
    problems = [
        f"{path.relative_to(ROOT)}: differs from its source; run python tools/unasync.py"
        for path, text in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for target_dir in PAIRS.values():
        twins = (ROOT / target_dir).rglob("*.py")
        problems += [f"{path.relative_to(ROOT)}: has no source" for path in twins if path not in files]
    return problems


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    arguments = parser.parse_args()
    files, problems = generate()
    if arguments.check:
        problems += compare(files)
    else:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
