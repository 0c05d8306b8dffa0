"""Measurements of Tiercel beside its peers; each module prints JSON with ``--json``."""
