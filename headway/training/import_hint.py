"""How to fix an import that failed in a script."""

from __future__ import annotations

from pathlib import Path

from headway.rank_protocol.paths import SOURCE_FOLDER


def import_hint(error: BaseException, script: str | None) -> str | None:
    """A sentence on how to make the import work; None for other errors. Called in the working directory.

    `script`: the script's path, None for a module.
    """
    if not isinstance(error, ImportError):
        return None
    return (_package_hint(error, script) if script is not None else None) or _missing_module_hint(error)


def _package_hint(error: ImportError, script: str) -> str | None:
    """How to start a script that is a part of a package.

    `python pkg/train.py` does not know the package and looks for modules only beside the script; `python -m pkg.train`
    finds them.
    """
    folders = Path(script).with_suffix("").parts
    inside_source = folders[0] == SOURCE_FOLDER and not Path(SOURCE_FOLDER, "__init__.py").exists()
    module = ".".join(folders[1:] if inside_source else folders)
    relative = "attempted relative import" in str(error)
    if "." not in module:
        if not relative:
            return None
        return f"Run it as a module of its package, from the folder above: cd .. && headway run -m PACKAGE.{module}"
    if relative or _is_here(_top_name(error)):
        return f"Run it as a module of its package: headway run -m {module}"
    return None


def _missing_module_hint(error: ImportError) -> str | None:
    """How to give a rank a module that is not installed where it ran."""
    name = _top_name(error)
    if not isinstance(error, ModuleNotFoundError) or not name or _is_here(name):
        return None
    found = next((path for path in Path().glob(f"*/{name}*") if path.is_dir() or path.suffix == ".py"), None)
    if found is not None and found.stem == name:
        return f"It is in {found.parent}/: add --env PYTHONPATH={found.parent}"
    return (
        f"{name} is not installed where the rank ran. --lock requirements.txt builds an environment that has it, and "
        "--python PATH uses an interpreter that has it."
    )


def _top_name(error: ImportError) -> str:
    return (error.name or "").partition(".")[0]


def _is_here(name: str) -> bool:
    return bool(name) and (Path(name).is_dir() or Path(f"{name}.py").is_file())
