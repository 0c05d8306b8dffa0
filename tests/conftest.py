"""
What every test shares: the rig's fixtures and the run's closing lines.
"""

from __future__ import annotations

pytest_plugins = ["tests.rig.fixtures", "tests.rig.closing"]
