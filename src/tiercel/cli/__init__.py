"""
The command ``tiercel``: one module of this package a command, found by its file name and imported only when it is run.

Exit codes: 0 done, 1 the answer is "no" (a wrong matrix, a failed probe, a firing alert), 2 wrong usage, 3 wrong
configuration, 4 a server does not answer, 130 interrupted. What was asked for goes to standard output, progress and
errors to standard error; an error is one line without a traceback (``--traceback`` shows it).
"""

from __future__ import annotations

from tiercel.cli._main import main

__all__ = ["main"]
