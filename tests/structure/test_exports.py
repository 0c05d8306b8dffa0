"""
What ``import tiercel`` gives: names that exist, are sorted, public and documented.
"""

from __future__ import annotations

import inspect

import tiercel


def test_every_exported_name_exists_and_is_public() -> None:
    for name in tiercel.__all__:
        assert hasattr(tiercel, name), name
        assert not name.startswith("_") or name == "__version__", name


def test_every_name_is_exported_once() -> None:
    assert len(set(tiercel.__all__)) == len(tiercel.__all__)


def test_every_exported_class_and_function_says_what_it_is() -> None:
    silent = [
        name
        for name in tiercel.__all__
        if inspect.isclass(getattr(tiercel, name)) or inspect.isfunction(getattr(tiercel, name))
        if not (getattr(tiercel, name).__doc__ or "").strip()
    ]
    assert not silent
