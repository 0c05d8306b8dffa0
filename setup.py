"""
The optional part of the build: the accelerators ``_native`` of the packages in `PACKAGES`.

Everything else stands in ``pyproject.toml``. Where there is no working compiler the build goes on without it, and the
reference implementation serves. ``TIERCEL_PURE=1`` leaves it out on purpose; ``TIERCEL_SANITIZE=1`` builds it with
AddressSanitizer and UndefinedBehaviorSanitizer for the fuzzer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

PACKAGES = ("local", "codecs", "_lanes")
GCC_FLAGS = ["-std=c11", "-O3", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra"]
SANITIZE_FLAGS = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-O1", "-g"]


def accelerator(package: str) -> Extension:
    """Return the extension of *package*; a failure to build it does not fail the install."""
    home = f"src/tiercel/{package}"
    flags = ["/std:c11", "/O2"] if sys.platform == "win32" else [*GCC_FLAGS]
    link: list[str] = []
    if os.environ.get("TIERCEL_SANITIZE") == "1":
        flags += SANITIZE_FLAGS
        link += ["-fsanitize=address,undefined"]
    return Extension(
        f"tiercel.{package}._native",
        [f"{home}/_native.c"],
        depends=sorted(str(path) for path in Path(f"{home}/native").glob("*.[ch]")),
        extra_compile_args=flags,
        extra_link_args=link,
        optional=True,
    )


setup(ext_modules=[] if os.environ.get("TIERCEL_PURE") == "1" else [accelerator(package) for package in PACKAGES])
