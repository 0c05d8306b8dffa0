"""
``python -m tiercel``: the command line.
"""

from __future__ import annotations

import sys

from tiercel.cli import main

sys.exit(main())
