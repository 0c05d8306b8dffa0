"""
No file names a machine's folder or a package registry's host: the project works wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("src", "tests", "benchmarks", "proofs", "tools", "examples", "docs", "requirements", ".ci")
SUFFIXES = {
    "",
    ".py",
    ".pyi",
    ".c",
    ".h",
    ".lua",
    ".vcl",
    ".md",
    ".toml",
    ".txt",
    ".sh",
    ".json",
    ".yml",
    ".html",
    ".js",
}
HOSTS = (
    "pypi.org",
    "pythonhosted.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "registry.npmjs.org",
    "deb.debian.org",
)
# A folder of one machine: an account's home, or a place beside the clone.
FOLDER = re.compile(r"(?<![\w.])/(?:root|home/\w+|work|workspace|Users/\w+)/")


def files() -> Iterator[Path]:
    """Yield every text file of the project, this one excepted: it names what it looks for."""
    roots = [path for path in ROOT.iterdir() if path.is_file() and path.name not in {".git", ".coverage"}]
    for path in [*roots, *(path for room in ROOMS for path in (ROOT / room).rglob("*"))]:
        is_built = {"__pycache__", "node_modules", "build"} & set(path.parts)
        if path.is_file() and path.suffix in SUFFIXES and not is_built and path != Path(__file__).resolve():
            yield path


def named_places(text: str) -> list[str]:
    """Return the registry hosts and machine folders in *text*."""
    return [host for host in HOSTS if host in text] + FOLDER.findall(text)


def test_no_file_names_a_place() -> None:
    found = {
        str(path.relative_to(ROOT)): places
        for path in files()
        if (places := named_places(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert not found


@pytest.mark.parametrize(
    "text", ["--index-url https://pypi.org/simple", "cd /root/x", "'/home/ann/x'", "(/workspace/main)"]
)
def test_a_place_is_recognised(text: str) -> None:
    assert named_places(text)


@pytest.mark.parametrize("text", ["self.home / 'work'", "/p/{id}", "https://example.org/work/list", "/var/cache"])
def test_an_address_of_the_product_is_no_place(text: str) -> None:
    assert not named_places(text)
