"""What helps a script that cannot import a part of its own project."""

from __future__ import annotations

from pathlib import Path

from headway.rank_protocol.paths import SOURCE_FOLDER


def import_hint(error: BaseException, script: str) -> str | None:
    """How to start the script so that its import works; None if the error is another. Called in the working directory.

    `python pkg/train.py` knows no package, and looks for modules beside the script only; `python -m pkg.train` does.
    """
    if not isinstance(error, ImportError):
        return None
    folders = Path(script).with_suffix("").parts
    inside_source = folders[0] == SOURCE_FOLDER and not Path(SOURCE_FOLDER, "__init__.py").exists()
    module = ".".join(folders[1:] if inside_source else folders)
    relative = "attempted relative import" in str(error)
    if "." not in module:
        if not relative:
            return None
        return f"Run it as a module of its package, from the folder above: cd .. && headway run -m PACKAGE.{module}"
    missing = (error.name or "").partition(".")[0]
    if relative or (missing and (Path(missing).is_dir() or Path(f"{missing}.py").is_file())):
        return f"Run it as a module of its package: headway run -m {module}"
    return None
