"""
Check the sizes and names that keep the code readable, print each figure beside its limit, and fail where one is passed.

Lengths count whole lines of a definition, docstring and comments included; the generated twin is counted once, in its
share. A *dead name* is a function, class, method or constant of the library whose name is written nowhere else: not in
the library, the tests, the programs or the documents. A private one must be used inside the library.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "src" / "tiercel"
GENERATED = ("src/tiercel/_sync/", "tests/sync_/")
ROOMS = ("src", "tests", "benchmarks", "proofs", "tools", "examples")
SUFFIXES = {".py", ".c", ".h", ".lua", ".vcl"}

MAX_GENERATED_PERCENT = 25.0
MAX_FUNCTION_P90_LINES = 30
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 500

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Decorators after which a function is called by its name; any other one registers it somewhere.
NAMED_USE = {"property", "cached_property", "staticmethod", "classmethod", "contextmanager", "asynccontextmanager"}
NAMED_USE |= {"overload", "abstractmethod", "cache", "lru_cache", "setter", "final", "dataclass", "runtime_checkable"}
# A class that extends one of these is used by its name; one that extends a framework's is called by the framework.
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
OWN_BASES = {"", "tiercel", "typing", "abc", "enum", "collections"}


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, its text, and its tree where it is Python."""

    path: str
    text: str
    tree: ast.Module | None

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.text.splitlines())

    @property
    def is_generated(self) -> bool:
        """Whether tools/unasync.py wrote it."""
        return self.path.startswith(GENERATED)


def read_sources() -> list[Source]:
    """Return every source file of every room."""
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in SUFFIXES and "build" not in path.parts:
                text = path.read_text(encoding="utf-8")
                tree = ast.parse(text) if path.suffix == ".py" else None
                found.append(Source(path.relative_to(ROOT).as_posix(), text, tree))
    return found


def is_library(source: Source) -> bool:
    """Say whether *source* belongs to the package."""
    return source.path.startswith("src/tiercel/")


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Yield the place and the length in lines of every function, nested ones included."""
    for node in ast.walk(source.tree or ast.Module([], [])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{source.path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def check_generated_share(sources: list[Source]) -> Iterator[str]:
    """Compare the generated twin's share of the library's lines with its limit."""
    library = [source for source in sources if is_library(source)]
    generated = sum(source.lines for source in library if source.is_generated)
    share = 100.0 * generated / max(1, sum(source.lines for source in library))
    print(f"generated share of library lines   {share:5.1f} %   (limit {MAX_GENERATED_PERCENT:g} %)")
    if share > MAX_GENERATED_PERCENT:
        yield f"the generated share is {share:.1f} %"


def check_functions(sources: list[Source]) -> Iterator[str]:
    """Compare the lengths of the written functions with their limits."""
    written = [source for source in sources if not source.is_generated]
    library = [length for source in written if is_library(source) for _, length in functions(source)]
    if len(library) > 1:
        p90 = quantiles(library, n=10)[-1]
        print(f"functions of the library           {len(library):5}     median {median(library):g}, ", end="")
        print(f"90th percentile {p90:g} (limit {MAX_FUNCTION_P90_LINES}), longest {max(library)}")
        if p90 > MAX_FUNCTION_P90_LINES:
            yield f"the 90th percentile of function lengths is {p90:g}"
    for source in written:
        for place, length in functions(source):
            if length > MAX_FUNCTION_LINES:
                yield f"{place}: {length} lines (limit {MAX_FUNCTION_LINES})"


def check_files(sources: list[Source]) -> Iterator[str]:
    """Compare the lengths of the written files with their limit."""
    written = [source for source in sources if not source.is_generated]
    longest = max(written, key=lambda source: source.lines)
    print(f"files                              {len(written):5}     longest {longest.lines} ({longest.path})")
    for source in written:
        if source.lines > MAX_FILE_LINES:
            yield f"{source.path}: {source.lines} lines (limit {MAX_FILE_LINES})"


def definitions(source: Source) -> Iterator[tuple[str, int]]:
    """Yield name and line of every function, class, method and module constant that is used by its name, if at all."""
    tree = source.tree or ast.Module([], [])
    foreign = _foreign_names(tree)
    called_elsewhere = {id(method) for node in ast.walk(tree) for method in _methods_of_foreign_class(node, foreign)}
    for node in ast.walk(tree):
        if isinstance(node, DEFINITION) and id(node) not in called_elsewhere and _is_used_by_name(node):
            yield node.name, node.lineno
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        yield from ((target.id, statement.lineno) for target in targets if isinstance(target, ast.Name))


def _foreign_names(tree: ast.Module) -> set[str]:
    """Return the names imported from outside the project, those of ``typing`` and ``abc`` excepted."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in OWN_BASES:
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _methods_of_foreign_class(node: ast.AST, foreign: set[str]) -> list[ast.stmt]:
    """Return the methods of a class that extends a foreign one: its framework calls them by names of its own."""
    if not isinstance(node, ast.ClassDef):
        return []
    roots = {ast.unparse(base).split(".")[0].split("[")[0] for base in node.bases}
    return node.body if roots & foreign else []


def _is_used_by_name(node: Definition) -> bool:
    return all(_last_name(decorator) in NAMED_USE for decorator in node.decorator_list)


def _last_name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        return _last_name(decorator.func)
    return decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")


def check_dead_names(sources: list[Source]) -> Iterator[str]:
    """Name every definition of the library that nothing uses."""
    written = [source for source in sources if not source.is_generated]
    inside = Counter(word for source in written if is_library(source) for word in WORD.findall(source.text))
    outside = Counter(word for source in written if not is_library(source) for word in WORD.findall(source.text))
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "pyproject.toml"]:
        outside.update(WORD.findall(document.read_text(encoding="utf-8")))
    library = [source for source in written if is_library(source)]
    defined = Counter(name for source in library for name, _ in definitions(source))
    dead = 0
    for source in library:
        for name, line in definitions(source):
            is_private = name.startswith("_")
            uses = inside[name] - defined[name] + (0 if is_private else outside[name])
            if uses <= 0 and not (name.startswith("__") and name.endswith("__")):
                dead += 1
                yield f"{source.path}:{line}: nothing uses {name}"
    print(f"dead names                         {dead:5}     (limit 0)")


def main() -> int:
    """Run every check."""
    sources = read_sources()
    problems: list[str] = []
    for check in (check_generated_share, check_functions, check_files, check_dead_names):
        problems += check(sources)
    print("\n".join(problems) if problems else "structure: good")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
