"""
What every test shares: the fixtures and closing lines of the rig, and property tests that try the same inputs again.
"""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.rig.fixtures", "tests.rig.closing"]

# Proofs explore; tests repeat. A deadline would measure the machine.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
