"""
How commands read a matrix file: with ``${NAME}`` in URLs replaced from the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

from tiercel.matrix import Matrix

__all__ = ["load_matrix"]


def load_matrix(file: Path | None) -> Matrix:
    """Return the matrix of *file* over the built-in data types, or those alone where there is no file."""
    return Matrix.defaults() if file is None else Matrix.from_toml(file, env=os.environ)
