"""The house's own limits: sizes of files and functions, parameters, import circles, places of tests, plain words."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("headway", "tests") for path in (CHECKOUT / folder).rglob("*.py"))
MAXIMUM_FILE_LINES = 400
MAXIMUM_FUNCTION_LINES = 60
MAXIMUM_PARAMETERS = 6
NAMED_BY_OTHERS = {"click", "router"}
"""Decorators of commands and routes. Their parameters are a user's options or parts of a request, passed by name."""
ALLOWED_PARAMETERS = {"headway/client/client.py: jobs": "its keywords are the filters of the list of jobs"}
ON_FIRST_USE = {("headway", "headway.client"), ("headway", "headway.training.run")}
"""Imports that do not count for cycles: `headway.Client` and `headway.run` are imported at their first use."""
PLAIN_WORDS = {
    r"(go|goes|going|went) on": "continue, resume",
    "anew": "again",
    "to mend|mends|mended": "fix",
    "(is|are) given up|gives? up a worker": "declare lost",
    "(is|are) said": "with a warning",
    "(stand|stands|stood) still": "pause, stall",
    "strikes?|struck": "inject a fault, kill",
    "nobody": "name who, or turn the sentence round",
    "who waits": "jobs that wait",
    "as ever": "by default",
    "now and then": "sometimes, at intervals",
}
"""Words that make a sentence hard for a tired reader, and what to write instead."""
NO_NAMES = {"utils", "util", "helpers", "helper", "manager", "misc", "common_utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def shown(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


@cache
def functions() -> list[tuple[Path, Function, bool]]:
    """Every function, and whether it is a method."""
    found: list[tuple[Path, Function, bool]] = []
    for path in SOURCES:
        nodes = list(ast.walk(parsed(path)))
        methods = {id(one) for node in nodes if isinstance(node, ast.ClassDef) for one in node.body}
        found += [(path, node, id(node) in methods) for node in nodes if isinstance(node, Function)]
    return found


def parameters(function: Function, *, method: bool) -> list[str]:
    """The names of its parameters, without the object or class of a method, and without `*` and `**`."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = [one.arg for one in given]
    return names[1:] if method and names[:1] in (["self"], ["cls"]) else names


def named_by_others(function: Function) -> bool:
    roots = {ast.unparse(decorator).partition(".")[0] for decorator in function.decorator_list}
    return bool(roots & NAMED_BY_OTHERS)


def module_name(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports() -> dict[str, set[str]]:
    """The imports of each module within the package, including those inside functions and for types."""
    modules = {module_name(path): path for path in SOURCES if path.is_relative_to(CHECKOUT / "headway")}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets: set[str] = set()
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{one.name}" for one in node.names}
                targets |= {one if one in modules else node.module for one in inner}
            elif isinstance(node, ast.Import):
                targets |= {one.name for one in node.names}
        found[name] = {one for one in targets if one in modules and one != name and (name, one) not in ON_FIRST_USE}
    return found


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, each importing the next; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        for target in sorted(edges[name]):
            if found := walk(target, [*way, name]):
                return found
        done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in sorted(edges))), [])


def test_files_are_short() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > MAXIMUM_FILE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    lengths = {f"{shown(path)}: {one.name}": (one.end_lineno or 0) - one.lineno + 1 for path, one, _ in functions()}
    assert {name: length for name, length in lengths.items() if length > MAXIMUM_FUNCTION_LINES} == {}


def test_functions_have_few_parameters() -> None:
    """Constructors may have more, and so may commands and routes."""
    many = {
        f"{shown(path)}: {one.name}"
        for path, one, method in functions()
        if len(parameters(one, method=method)) > MAXIMUM_PARAMETERS
        if one.name != "__init__" and not named_by_others(one)
    }
    assert many == set(ALLOWED_PARAMETERS)


def test_no_imports_go_in_a_circle() -> None:
    assert circle(imports()) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d"]


def test_files_say_what_they_are_about() -> None:
    named = {shown(path) for path in SOURCES if path.stem in NO_NAMES}
    without_docstring = {shown(path) for path in SOURCES if path.read_text() and not ast.get_docstring(parsed(path))}
    assert (named, without_docstring) == (set(), set())


def test_unit_tests_mirror_the_package() -> None:
    folders = {path.parent.relative_to(CHECKOUT / "tests/unit") for path in SOURCES if "tests/unit/" in shown(path)}
    assert {shown(CHECKOUT / one) for one in folders if not (CHECKOUT / "headway" / one).is_dir()} == set()


@pytest.mark.parametrize("page", sorted((CHECKOUT / "docs/internals").glob("*.md")), ids=lambda page: page.stem)
def test_pages_name_files_that_exist(page: Path) -> None:
    """Pages name files by the end of their path."""
    named = re.findall(r"`([\w/]+\.py)\b", page.read_text())
    assert [name for name in named if not any(f"/{shown(path)}".endswith(f"/{name}") for path in SOURCES)] == []


def prose(path: Path) -> list[str]:
    """The lines of a page, or the comments and texts of a source file."""
    if path.suffix != ".py":
        return path.read_text().splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    return [one.string for one in tokens if one.type in kinds]


def hard_words(text: str) -> list[str]:
    words = " ".join(text.split())
    return [
        f"{found[0]}: {instead}"
        for hard, instead in PLAIN_WORDS.items()
        for found in re.finditer(rf"\b({hard})\b", words, re.IGNORECASE)
    ]


def test_sentences_use_plain_words() -> None:
    pages = [path for pattern in ("*.md", "docs/**/*.md", "examples/*.md") for path in CHECKOUT.glob(pattern)]
    sources = [
        path for one in ("headway", "examples", "benchmarks", "tools") for path in (CHECKOUT / one).rglob("*.py")
    ]
    found = {shown(path): hard for path in (*pages, *sources) if (hard := hard_words("\n".join(prose(path))))}
    assert found == {}


def test_hard_words_are_found() -> None:
    assert hard_words("Training goes\non. It was killed.") == ["goes on: continue, resume"]
