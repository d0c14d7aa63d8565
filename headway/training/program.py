"""Runs the user's script or module in this process, in the way a new Python would."""

from __future__ import annotations

import builtins
import io
import os
import runpy
import site
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from pkgutil import get_importer, read_code
from types import CodeType, ModuleType
from typing import Any

from headway.rank_protocol.paths import SOURCE_FOLDER

_CUSTOMISATION = ("sitecustomize", "usercustomize")


def run_script(script: str, arguments: list[str]) -> None:
    """Run it like `python SCRIPT ARGUMENTS` in the working directory: imports first search the script's folder."""
    path = Path(script).absolute()
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.parent))
    _add_source_folder(Path(SOURCE_FOLDER).absolute(), _installed_end())
    if get_importer(str(path)) is not None:  # a zip archive with a __main__.py
        runpy.run_path(str(path), run_name="__main__")
        return
    with io.open_code(str(path)) as file:
        code = read_code(file)  # a compiled file
    if code is None:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    loader = SourceFileLoader("__main__", str(path))
    _run_as_main(code, __file__=str(path), __cached__=None, __loader__=loader)


def run_module(module: str, arguments: list[str]) -> None:
    """Run it like `python -m MODULE ARGUMENTS`: imports first search the working directory, then its src.

    Raises ImportError when the module does not exist.
    """
    sys.argv = ["-m", *arguments]  # replaced by the module's file once it is found, as in Python
    sys.path.insert(0, os.getcwd())
    source = Path(SOURCE_FOLDER).absolute()
    top = module.partition(".")[0]
    is_there = not _provides(Path.cwd(), top) and _provides(source, top)
    _add_source_folder(source, 1 if is_there else _installed_end())
    _, spec, code = runpy._get_module_details(module)  # type: ignore[attr-defined]
    sys.argv[0] = spec.origin
    _run_as_main(
        code,
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )


def _run_as_main(code: CodeType, **names: Any) -> None:
    """Run it as the main module until the process ends, so that threads and exit handlers see it."""
    main = ModuleType("__main__")
    main.__dict__.update(names, __builtins__=builtins)
    sys.modules["__main__"] = main
    exec(code, main.__dict__)  # noqa: S102 - a script is what runs here


def _installed_end() -> int:
    """The index in sys.path after the installed packages and before this interpreter's editable ones."""
    installed = {os.path.abspath(folder) for folder in site.getsitepackages()}
    places = [number for number, entry in enumerate(sys.path) if os.path.abspath(entry) in installed]
    return max(places, default=len(sys.path) - 1) + 1


def _add_source_folder(folder: Path, place: int) -> None:
    """Make packages in src importable, as after an editable install, unless src itself is a package."""
    if folder.is_dir() and not (folder / "__init__.py").exists() and str(folder) not in sys.path:
        sys.path.insert(place, str(folder))


def enter_environment(python: str, packages: str) -> None:
    """Add the packages of another environment, and let child processes use its interpreter."""
    import multiprocessing

    site.addsitedir(packages)
    sys.executable = python
    multiprocessing.set_executable(python)


def add_import_folders(value: str) -> None:
    """Search modules in the folders of a PYTHONPATH, like a Python that starts with it."""
    sys.path[:0] = [folder for folder in _folders(value) if folder not in sys.path]


def reason_to_start_cold(value: str) -> str | None:
    """Why a process that has already imported modules cannot use this PYTHONPATH; None if it can."""
    for folder in map(Path, _folders(value)):
        for name in _CUSTOMISATION:
            if _provides(folder, name):
                return f"PYTHONPATH has {name}, which counts only when a process starts"
        for name in sorted({entry.name.partition(".")[0] for entry in _entries(folder)} & sys.modules.keys()):
            file = getattr(sys.modules[name], "__file__", None)
            if _provides(folder, name) and not (file and Path(file).is_relative_to(folder)):
                return f"PYTHONPATH has its own {name}, and another one is already loaded"
    return None


def _folders(value: str) -> list[str]:
    return [os.path.abspath(entry) for entry in value.split(os.pathsep)] if value else []


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _provides(folder: Path, name: str) -> bool:
    """Whether the top-level `name` can be imported from the folder."""
    if (folder / name / "__init__.py").exists():
        return True
    return any(entry.name == f"{name}.py" or entry.match(f"{name}*.so") for entry in _entries(folder))
