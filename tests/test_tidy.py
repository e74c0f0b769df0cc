"""Holds the style rules that no linter knows, each with a message that names the way out.

There is no list of exceptions to add to: a rule bends for everybody or for nobody. Rules read one
module at a time, so that each can be shown to fail on a few planted lines.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("conductor", "raft_state", "scripts", "tests")
PRODUCT = ("conductor/", "raft_state/")
GENERATED = "conductor/v1/"

MODULE_LINES_MAX = 450
TEST_MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

# The one supervisor of tasks, and the edges where an error becomes an answer.
MAY_CATCH_EVERYTHING = ("conductor/runtime/supervisor.py", "conductor/api/")
MAY_PRINT = ("conductor/cli/", "conductor/devnet/", "raft_state/cli/", "scripts/")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its path from the repository root, with slashes, and what it holds."""

    path: str
    source: str
    tree: ast.Module

    @property
    def is_test(self) -> bool:
        """Whether it belongs to the tests."""
        return self.path.startswith("tests/")

    @property
    def is_product(self) -> bool:
        """Whether users run it."""
        return self.path.startswith(PRODUCT)

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        """Every syntax node of these kinds."""
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))


Finding = tuple[int, str]
"""A line number and what is wrong there, with what to do instead."""

Rule = Callable[[Module], Iterator[Finding]]


def lengths(module: Module) -> Iterator[Finding]:
    """Modules and functions that no longer fit in a head."""
    lines = len(module.source.splitlines())
    lines_max = TEST_MODULE_LINES_MAX if module.is_test else MODULE_LINES_MAX
    if lines > lines_max:
        yield lines, f"module has {lines} lines, at most {lines_max}: split it by concept"
    for node in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, FunctionNode)
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield (
                node.lineno,
                f"{node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}: extract its steps",
            )


def docstrings(module: Module) -> Iterator[Finding]:
    """Modules, and public functions and classes of the product, that do not say what they are."""
    if (module.tree.body or module.is_product) and not ast.get_docstring(module.tree):
        yield 1, "module has no docstring: say its invariant or its reason to exist"
    if module.is_product:
        yield from undocumented(module.tree)


def undocumented(scope: ast.Module | ast.ClassDef) -> Iterator[Finding]:
    """Public definitions directly in `scope`, and in its classes, without a docstring."""
    for node in scope.body:
        if not isinstance(node, FunctionNode | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.lineno, f"{node.name} has no docstring: give meaning, units and errors"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node)


def banned_calls(module: Module) -> Iterator[Finding]:
    """Calls that have a better replacement."""
    names = imported_names(module)
    for node in module.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        called = dotted_name(node.func, names)
        if called == "time.sleep":
            yield node.lineno, "time.sleep: wait on a condition with a deadline"
        elif called == "asyncio.sleep" and module.is_test and is_positive_literal(node):
            yield node.lineno, "asyncio.sleep for a time: await a condition under asyncio.timeout"
        elif called == "print" and not module.path.startswith(MAY_PRINT):
            yield node.lineno, "print: log it, return it, or put it into the assertion's message"


def imported_names(module: Module) -> dict[str, str]:
    """What each imported name of the module stands for, as a dotted name."""
    names: dict[str, str] = {}
    for node in module.nodes(ast.Import, ast.ImportFrom):
        assert isinstance(node, ast.Import | ast.ImportFrom)
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if prefix or alias.asname:
                names[alias.asname or alias.name] = prefix + alias.name
    return names


def dotted_name(node: ast.expr, names: dict[str, str]) -> str:
    """`a.b` of an expression that is one, with imported names resolved; else nothing."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value, names)}.{node.attr}"
    return ""


def is_positive_literal(call: ast.Call) -> bool:
    """Whether the call's first argument is a number above zero."""
    delay = call.args[0] if call.args else None
    return (
        isinstance(delay, ast.Constant) and isinstance(delay.value, int | float) and delay.value > 0
    )


def broad_excepts(module: Module) -> Iterator[Finding]:
    """Handlers that swallow our own bugs along with what they meant to handle."""
    if module.path.startswith(MAY_CATCH_EVERYTHING):
        return
    for node in module.nodes(ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in caught:
            if kind is None or dotted_name(kind, {}) in {"Exception", "BaseException"}:
                yield node.lineno, "broad except: name the errors that can be handled here"


def safety_asserts(module: Module) -> Iterator[Finding]:
    """Asserts of the product that do more than tell the type checker what a value is."""
    if not module.is_product:
        return
    for node in module.nodes(ast.Assert):
        assert isinstance(node, ast.Assert)
        if not narrows_a_type(node.test):
            yield (
                node.lineno,
                "assert: vanishes under `python -O`; use ensure() of conductor.errors",
            )


def narrows_a_type(test: ast.expr) -> bool:
    """Whether this is `isinstance(...)` or `... is not None`."""
    if isinstance(test, ast.Call):
        return dotted_name(test.func, {}) == "isinstance"
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.IsNot)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value is None
    )


def blanket_ignores(module: Module) -> Iterator[Finding]:
    """Comments that silence the type checker without saying which of its complaints."""
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type == tokenize.COMMENT and re.search(r"type:\s*ignore(?!\[)", token.string):
            yield token.start[0], "type: ignore without a code: write `type: ignore[code]`"


RULES: tuple[Rule, ...] = (
    lengths,
    docstrings,
    banned_calls,
    broad_excepts,
    safety_asserts,
    blanket_ignores,
)


def findings(path: str, source: str) -> list[str]:
    """Everything that is wrong with a module, one `path:line: text` each."""
    module = Module(path, source, ast.parse(source))
    return [f"{path}:{line}: {text}" for rule in RULES for line, text in rule(module)]


def test_every_module_is_tidy() -> None:
    paths = [
        path
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        if not (path := file.relative_to(ROOT).as_posix()).startswith(GENERATED)
    ]
    assert paths
    found = [line for path in paths for line in findings(path, (ROOT / path).read_text("utf-8"))]
    assert not found, "untidy:\n" + "\n".join(found)


HEAD = '"""Doc."""\n'
LONG_FUNCTION = "def _f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX
LONG_MODULE = HEAD + "x = 1\n" * MODULE_LINES_MAX
LONG_TEST_MODULE = HEAD + "x = 1\n" * TEST_MODULE_LINES_MAX
CATCH_ALL = HEAD + "try:\n    x = 1\nexcept Exception:\n    x = 2\n"


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("conductor/a.py", LONG_MODULE, "a.py:451: module has 451 lines"),
        ("tests/a.py", LONG_TEST_MODULE, "a.py:601: module has 601 lines"),
        ("tests/a.py", HEAD + LONG_FUNCTION, "a.py:2: _f has 71 lines"),
        ("conductor/__init__.py", "", "__init__.py:1: module has no docstring"),
        ("tests/a.py", "x = 1\n", "a.py:1: module has no docstring"),
        ("conductor/a.py", HEAD + "def f(): ...\n", "a.py:2: f has no docstring"),
        ("conductor/a.py", HEAD + "class C:\n    'D.'\n    def f(self): ...\n", "f has no doc"),
        ("tests/a.py", HEAD + "import time\ntime.sleep(x)\n", "a.py:3: time.sleep: wait on"),
        ("tests/a.py", HEAD + "import time as t\nt.sleep(0)\n", "a.py:3: time.sleep"),
        ("conductor/a.py", HEAD + "from time import sleep as s\ns(1)\n", "a.py:3: time.sleep"),
        ("tests/a.py", HEAD + "import asyncio\nasyncio.sleep(0.1)\n", "a.py:3: asyncio.sleep"),
        ("conductor/a.py", HEAD + "print(1)\n", "a.py:2: print: log it"),
        ("conductor/a.py", CATCH_ALL, "a.py:4: broad except"),
        ("tests/a.py", CATCH_ALL.replace("Exception", "(OSError, BaseException)"), "broad"),
        ("tests/a.py", CATCH_ALL.replace(" Exception", ""), "a.py:4: broad except"),
        ("conductor/a.py", HEAD + "assert x > 1\n", "a.py:2: assert: vanishes"),
        ("tests/a.py", HEAD + "x = y  # type: " + "ignore\n", "a.py:2: type: ignore without"),
    ],
)
def test_rules_find_what_they_forbid(path: str, source: str, expected: str) -> None:
    (found,) = findings(path, source)
    assert expected in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("conductor/a.py", LONG_MODULE.removesuffix("x = 1\n")),
        ("tests/a.py", HEAD + LONG_FUNCTION.removesuffix("    x = 1\n")),
        ("tests/__init__.py", ""),
        ("conductor/a.py", HEAD + "class _C:\n    def f(self): ...\n"),
        ("conductor/a.py", HEAD + "import asyncio\nasyncio.sleep(1)\n"),
        ("tests/a.py", HEAD + "import asyncio\nasyncio.sleep(0)\n"),
        ("conductor/cli/a.py", HEAD + "print(1)\n"),
        ("conductor/runtime/supervisor.py", CATCH_ALL),
        ("conductor/api/a.py", CATCH_ALL),
        ("conductor/a.py", HEAD + "assert isinstance(x, int)\nassert x is not None\n"),
        ("tests/a.py", HEAD + "x = y  # type: " + "ignore[arg-type]\n"),
    ],
)
def test_rules_leave_alone_what_is_allowed(path: str, source: str) -> None:
    assert findings(path, source) == []
