# Generated from tests/async_/races/test_dbg_tmp.py by tools/unasync.py. Do not edit.
from typing import Any
import pytest
from tests.sync_.races.conftest import *
from tests.sync_.races.test_refill import *
from tests.sync_.races.conftest import world
from tests.sync_.engine.conftest import far_url
@pytest.mark.parametrize("far_url", ["memory"], indirect=True)
def test_dbg(world, monkeypatch):
    for n in range(2):
        scene = world(tiers=("local",))
        def change(key):
            scene.store.write(Change("acme", key, "B", 0))
            scene.nodes[0].remove(key)
        bad=[]
        def race(stage):
            key = scene.key()
            stage.actor("A", lambda: scene.nodes[0].write(key, "A"))
            stage.actor("B", lambda: change(key))
            stage.actor("C", lambda: scene.nodes[0].read(key, None))
            def check():
                row = scene.store.rows.read("acme", key)
                seen = scene.nodes[0].get(key)
                if seen not in (row.value, MISS):
                    bad.append((key, row, seen, stage.cast.errors, scene.nodes[0].place.view.entry(key)))
                    return "stale"
            return check
        e = explore(race, 200)
        print("ROUND", n, e.violations, bad[:3], e.losing)
