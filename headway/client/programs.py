"""Checks of a program before it is sent: it must exist, and it must be possible to start it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from glob import escape
from importlib.util import find_spec
from pathlib import Path

from headway.errors import EnvironmentFailed, InvalidInput, NotFound
from headway.formats.lock_files import read_lock
from headway.rank_protocol.paths import SOURCE_FOLDER

_BINARY_LOOK_BYTES = 512
_LISTED_NAMES = 10_000


def check_script(script: Path, folder: Path) -> None:
    """Raises NotFound, with the file that was probably meant, when the Python script does not exist."""
    if not script.is_file():
        raise NotFound(f"Script {_shown(script, folder)} does not exist.{_nearest(script, folder)}")


def check_module(module: str, folder: Path) -> None:
    """Raises NotFound or InvalidInput when a module of the working directory does not exist, or cannot be run.

    Other modules pass: they may be installed on the workers.
    """
    if "/" in module or module.endswith(".py"):
        meant = module.removeprefix("./").removeprefix(f"{SOURCE_FOLDER}/").removesuffix(".py").replace("/", ".")
        raise InvalidInput(f"{module} is a path; -m takes a module's name: headway run -m {meant}")
    top, *rest = module.split(".")
    if "" in (top, *rest) or not module.isprintable() or " " in module:
        path = folder / module
        words = f" {_folder_words(path, module, [])}" if path.is_dir() else ""
        raise InvalidInput(f"{module!r} is not the name of a module; -m takes one such as package.train.{words}")
    roots = [root for root in (folder, folder / SOURCE_FOLDER) if _is_module(root / top)]
    if not roots:
        known = {_module_name(path) for root in (folder, folder / SOURCE_FOLDER) for path in _listed(root)}
        close = _close(top, known)
        if close and find_spec(top) is None:
            meant = ".".join((close[0], *rest))
            raise NotFound(f"Module {module} is not in {folder}. Did you mean: headway run -m {meant}")
        return
    path = roots[0].joinpath(top, *rest)
    if not _is_module(path):
        close = _close(path.name, (_module_name(one) for one in _listed(path.parent)))
        hint = f" Did you mean: headway run -m {'.'.join((top, *rest[:-1], close[0]))}" if close else ""
        raise NotFound(f"Module {module} is not in {roots[0]}.{hint}")
    if path.is_dir() and not (path / "__main__.py").exists():
        inner = _module_in(path)
        words = f" Name a module in it, such as {module}.{inner}." if inner else ""
        raise InvalidInput(f"{module} is a package without a __main__.py, so it cannot be run itself.{words}")


def check_lock(lock: str, folder: Path) -> None:
    """Raises InvalidInput when a lock file, or a file that it needs, is not sent with the directory."""
    from headway.formats.ignored_files import find_files

    folder = folder.resolve()
    try:
        contents = read_lock(Path(os.path.normpath(folder / lock)), folder)
    except EnvironmentFailed as error:
        raise InvalidInput(str(error)) from error
    sent = {*find_files(folder)[0]}
    for path in sorted(path for path in contents.paths if path.is_relative_to(folder)):
        name = _shown(path, folder)
        if not path.exists():
            raise InvalidInput(f"{lock} needs {name}, which does not exist.")
        if path not in sent and not any(one.is_relative_to(path) for one in sent):
            raise InvalidInput(f"{lock} needs {name}, which an ignore file excludes. Add !{name} to .headwayignore.")


def check_command(command: Sequence[str], folder: Path) -> None:
    """Raises NotFound or InvalidInput when the command's program is a file of the working directory that cannot start.

    Workers search a name without / on their PATH. It is refused only if it looks like a file of this directory.
    """
    program, *arguments = command or ("",)
    if not program:
        raise InvalidInput("The command is empty. Give a program, and its arguments if it has any.")
    if os.path.isabs(program):
        return
    path = folder / program
    if "/" in program:
        _check_file(path, program, arguments, folder)
    elif shutil.which(program) is None:
        _check_name(path, program, arguments, folder)


def _check_name(path: Path, program: str, arguments: list[str], folder: Path) -> None:
    if path.is_file():
        if path.suffix in (".yaml", ".yml", ".json"):
            raise InvalidInput(f"{program} is not a program. If it is a job file: headway submit {program}")
        if path.suffix == ".ipynb":
            raise InvalidInput(f"{program} is a notebook. Convert it: jupyter nbconvert --to script {program}")
        _check_file(path, program, arguments, folder)
        raise InvalidInput(
            f"{program} is a file of the working directory, but a name without / is searched on the PATH. "
            f"Write: headway run {_line([f'./{program}'], arguments)}"
        )
    script = folder / f"{program}.py"
    if script.is_file():
        raise InvalidInput(
            f"There is no program {program}. Did you mean: headway run {_line([script.name], arguments)}"
        )
    if path.is_dir() and not (program.isidentifier() and (path / "__main__.py").is_file()):
        raise InvalidInput(_folder_words(path, program, arguments))
    for root in (folder, folder / SOURCE_FOLDER):
        module = root.joinpath(*program.split("."))
        if module.is_dir() and not (module / "__main__.py").is_file():
            raise InvalidInput(_folder_words(module, str(module.relative_to(folder)), arguments))
        if _is_module(module):
            raise InvalidInput(f"{program} is a module. Write: headway run {_line(['-m', program], arguments)}")
    close = _close(program, _file_names(folder))
    if close and "." in program:
        raise NotFound(f"There is no program {program}.{_nearest(path, folder)}")


def _module_in(folder: Path) -> str | None:
    """The module in a folder that was probably meant to be run."""
    modules = sorted(one.stem for one in _listed(folder) if one.suffix == ".py" and one.name != "__init__.py")
    return next((name for name in modules if name in ("train", "main")), next(iter(modules), None))


def _folder_words(path: Path, program: str, arguments: list[str]) -> str:
    """An error that names a script to run instead of a folder, if there is one."""
    meant = _module_in(path)
    if meant is None:
        return f"{program} is a folder, not a program. Name a program in it."
    line = _line([os.path.normpath(os.path.join(program, f"{meant}.py"))], arguments)
    return f"{program} is a folder, not a program. Name a script in it, such as: headway run {line}"


def _check_file(path: Path, program: str, arguments: list[str], folder: Path) -> None:
    if path.is_dir():
        raise InvalidInput(_folder_words(path, program, arguments))
    if not path.is_file():
        raise NotFound(f"{program} does not exist in {folder}.{_nearest(path, folder)}")
    with path.open("rb") as file:
        beginning = file.read(_BINARY_LOOK_BYTES)
    first = beginning.partition(b"\n")[0]
    if b"\0" not in beginning and not first.startswith(b"#!"):
        raise InvalidInput(
            f"{program} does not begin with a line such as #!/bin/sh, so it cannot be started. Add one, or name its "
            f"interpreter: headway run -- {shlex.join(['bash', program, *arguments])}"
        )
    if first.startswith(b"#!") and first.endswith(b"\r"):
        raise InvalidInput(
            f"The lines of {program} end as on Windows, so it cannot be started. Write: sed -i 's/\\r$//' {program}"
        )
    if not os.access(path, os.X_OK):
        raise InvalidInput(f"{program} is not executable: chmod +x {shlex.quote(str(path))}")


def _line(program: list[str], arguments: list[str]) -> str:
    """A command line after `headway run`, with the arguments behind --."""
    return shlex.join([*program, *(["--", *arguments] if arguments else [])])


def _is_module(path: Path) -> bool:
    return path.is_dir() or any(any(path.parent.glob(escape(path.name) + end)) for end in (".py", ".*.so"))


def _module_name(path: Path) -> str:
    return path.name.removesuffix(".py") if path.is_dir() or path.suffix == ".py" else ""


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [Path(entry.path) for _, entry in zip(range(_LISTED_NAMES), entries, strict=False)]


def _file_names(folder: Path) -> list[str]:
    return [path.name for path in _listed(folder) if path.is_file()]


def _close(name: str, names: Iterable[str]) -> list[str]:
    """The name that was probably meant, or none."""
    from difflib import get_close_matches

    return get_close_matches(name, [one for one in names if one], n=1)


def _nearest(path: Path, folder: Path) -> str:
    """A sentence, after a space, with the file that was probably meant; empty if there is none."""
    close = _close(path.name, _file_names(path.parent))
    found = path.with_name(close[0]) if close else next(iter(folder.glob(f"*/{escape(path.name)}")), None)
    return f" Did you mean {_shown(found, folder)}?" if found is not None else ""


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
