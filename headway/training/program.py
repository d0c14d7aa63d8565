"""The user's script or module, run in this process as a new Python would run it."""

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
    """As `python SCRIPT ARGUMENTS`, in the working directory: modules are looked for beside the script first."""
    path = Path(script).absolute()
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.parent))
    _add_source_folder(Path(SOURCE_FOLDER).absolute(), _installed_end())
    if get_importer(str(path)) is not None:  # a zip archive with a __main__.py
        runpy.run_path(str(path), run_name="__main__")
        return
    with io.open_code(str(path)) as file:
        code = read_code(file)  # of a compiled file
    if code is None:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    loader = SourceFileLoader("__main__", str(path))
    _run_as_main(code, __file__=str(path), __cached__=None, __loader__=loader)


def run_module(module: str, arguments: list[str]) -> None:
    """As `python -m MODULE ARGUMENTS`: modules are looked for in the working directory first, then in its src.

    Raises ImportError when there is no such module.
    """
    sys.argv = ["-m", *arguments]  # the module's file comes there once it is found, as in Python
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
    """Run it as the main module, which stays that until the process ends: threads and exit handlers see it."""
    main = ModuleType("__main__")
    main.__dict__.update(names, __builtins__=builtins)
    sys.modules["__main__"] = main
    exec(code, main.__dict__)  # noqa: S102 - a script is what runs here


def _installed_end() -> int:
    """The place behind the installed packages, and before the editable ones of this interpreter."""
    installed = {os.path.abspath(folder) for folder in site.getsitepackages()}
    places = [number for number, entry in enumerate(sys.path) if os.path.abspath(entry) in installed]
    return max(places, default=len(sys.path) - 1) + 1


def _add_source_folder(folder: Path, place: int) -> None:
    """Let packages in src be imported, as after an editable install, unless src is itself a package."""
    if folder.is_dir() and not (folder / "__init__.py").exists() and str(folder) not in sys.path:
        sys.path.insert(place, str(folder))


def enter_environment(python: str, packages: str) -> None:
    """Have the packages of another environment too, and let children start with its interpreter."""
    import multiprocessing

    site.addsitedir(packages)
    sys.executable = python
    multiprocessing.set_executable(python)


def add_import_folders(value: str) -> None:
    """Look for modules in the folders of a PYTHONPATH, as a Python that starts with it does."""
    sys.path[:0] = [folder for folder in _folders(value) if folder not in sys.path]


def reason_to_start_cold(value: str) -> str | None:
    """Why a process that has imported modules already cannot take up this PYTHONPATH; None if it can."""
    for folder in map(Path, _folders(value)):
        for name in _CUSTOMISATION:
            if _provides(folder, name):
                return f"PYTHONPATH has {name}, which counts only when a process starts"
        for name in sorted({entry.name.partition(".")[0] for entry in _entries(folder)} & sys.modules.keys()):
            file = getattr(sys.modules[name], "__file__", None)
            if _provides(folder, name) and not (file and Path(file).is_relative_to(folder)):
                return f"PYTHONPATH has a {name} of its own, and another is loaded already"
    return None


def _folders(value: str) -> list[str]:
    return [os.path.abspath(entry) for entry in value.split(os.pathsep)] if value else []


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _provides(folder: Path, name: str) -> bool:
    """Whether importing the top-level `name` from the folder gives something."""
    if (folder / name / "__init__.py").exists():
        return True
    return any(entry.name == f"{name}.py" or entry.match(f"{name}*.so") for entry in _entries(folder))
