"""
The purge log's tables and its longer statements.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    soft INTEGER NOT NULL,
    family TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    asked INTEGER NOT NULL DEFAULT 1,
    drop_asked INTEGER NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0,
    is_second INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL,
    done_s REAL,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS pending_items ON items (kind, value, soft) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS finished_items ON items (done_s) WHERE done_s IS NOT NULL;
CREATE TABLE IF NOT EXISTS batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT UNIQUE NOT NULL,
    named TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'new',
    items INTEGER NOT NULL,
    prefixes INTEGER NOT NULL,
    provider_id TEXT,
    tries INTEGER NOT NULL DEFAULT 0,
    not_before_s REAL NOT NULL DEFAULT 0,
    created_s REAL NOT NULL,
    sent_s REAL,
    done_s REAL,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS open_batches ON batches (state, seq);
CREATE TABLE IF NOT EXISTS covers (
    reference TEXT NOT NULL,
    place INTEGER NOT NULL,
    item INTEGER NOT NULL,
    PRIMARY KEY (reference, place, item)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS covered ON covers (item);
CREATE TABLE IF NOT EXISTS later (
    due_s REAL NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    soft INTEGER NOT NULL,
    family TEXT NOT NULL,
    PRIMARY KEY (kind, value, soft)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spend (
    hour INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    items INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY (hour, tenant)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (
    name TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    seen_s REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_names ON names (seen_s);
CREATE TABLE IF NOT EXISTS lease (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    owner TEXT NOT NULL,
    until_s REAL NOT NULL
);
"""

# What is pending already is joined: the deduplication of everything asked for within one window.
ADD = """
INSERT INTO items (tenant, kind, value, soft, family, drop_asked, created_s) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, value, soft) WHERE state = 'pending'
DO UPDATE SET asked = asked + 1, drop_asked = drop_asked + excluded.drop_asked, is_second = 0
RETURNING id, drop_asked
"""
MARK_SECOND = """
UPDATE items SET is_second = 1 WHERE state = 'pending' AND kind = ? AND value = ? AND soft = ? AND asked = 1
"""
PENDING = """
SELECT id, tenant, kind, value, soft, family, created_s, asked, drop_asked, dropped, is_second
FROM items WHERE state = 'pending' ORDER BY id LIMIT ?
"""
LEAD = """
INSERT INTO lease VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, until_s = excluded.until_s
WHERE lease.owner = excluded.owner OR lease.until_s <= ?
"""
IN_STATE = "SELECT state, max(done_s), max(detail) FROM items WHERE id IN ({}) GROUP BY state"
IN_PROGRESS = """
SELECT coalesce(sum(items), 0), coalesce(sum(prefixes), 0) FROM batches WHERE state IN ('new', 'sent')
"""
COVER_PART = """
INSERT INTO covers SELECT ?, place - ?, item FROM covers WHERE reference = ? AND place >= ? AND place < ?
"""
REFUSE = "UPDATE batches SET state = 'dead', done_s = ?, error = ? WHERE reference = ? AND state = 'new'"
FAIL_ITEMS = """
UPDATE items SET state = 'failed', done_s = ?, detail = ? WHERE state = 'batched'
AND id IN (SELECT item FROM covers WHERE reference = ?)
"""
FINISH_ITEMS = """
UPDATE items SET state = 'done', done_s = ? WHERE state = 'batched' AND id IN (
    SELECT mine.item FROM covers AS mine WHERE mine.reference = ? AND NOT EXISTS (
        SELECT 1 FROM covers AS other JOIN batches ON batches.reference = other.reference
        WHERE other.item = mine.item AND batches.state IN ('new', 'sent', 'dead')))
"""
FORGET_COVERS = """
DELETE FROM covers WHERE reference IN (SELECT reference FROM batches WHERE done_s < ? AND state = 'done')
"""
NAME = """
INSERT INTO names VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET tenant = excluded.tenant, tag = excluded.tag, seen_s = excluded.seen_s
"""
# What an open item or a dead letter names stays known, up to the bound.
FORGET_NAMES = """
DELETE FROM names WHERE (seen_s < ? AND name NOT IN (SELECT value FROM items WHERE kind = 'tag'))
OR seen_s < (SELECT seen_s FROM names ORDER BY seen_s DESC LIMIT 1 OFFSET ?)
"""
SPEND = """
INSERT INTO spend VALUES (?, ?, ?, ?)
ON CONFLICT (hour, tenant) DO UPDATE SET items = items + excluded.items, asked = asked + excluded.asked
"""
