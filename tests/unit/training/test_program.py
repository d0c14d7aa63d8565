"""Where a rank searches modules, and the hint when it does not find one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headway.training.import_hint import import_hint
from headway.training.program import reason_to_start_cold

RELATIVE = ImportError("attempted relative import with no known parent package")
SHOW = "import sys, pkg; print(sys.argv, sys.path[0], pkg.__file__, __package__, __spec__ and __spec__.name)"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def run(folder: Path, *words: str) -> str:
    program = "import sys\nfrom headway.training import program\n" + "\n".join(words)
    ran = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def test_a_module_runs_as_python_m_runs_it(tmp_path: Path) -> None:
    """Given a package with relative imports, when it runs as a module, then it sees the same as with `python -m`."""
    write(tmp_path, {"pkg/__init__.py": "", "pkg/b.py": "N = 1", "pkg/__main__.py": "import pkg.train"})
    write(
        tmp_path, {"pkg/train.py": f"from .b import N\n{SHOW}\nprint(N, sys.modules['__main__'].__dict__ is globals())"}
    )
    for module in ("pkg.train", "pkg"):
        python = subprocess.run(
            [sys.executable, "-m", module, "--lr", "1"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert run(tmp_path, f"program.run_module({module!r}, ['--lr', '1'])") == python.stdout


def test_packages_in_src_are_found_by_modules_and_scripts(tmp_path: Path) -> None:
    write(tmp_path, {"src/pkg/__init__.py": "", "src/pkg/train.py": SHOW, "src/json.py": "raise SystemExit('src won')"})
    inside = str(tmp_path / "src" / "pkg" / "__init__.py")
    assert run(tmp_path, "program.run_module('pkg.train', [])").split()[1:] == [
        str(tmp_path), inside, "pkg", "pkg.train",
    ]  # fmt: skip
    assert inside in run(tmp_path, "program.run_script('src/pkg/train.py', [])")
    assert inside in run(tmp_path, "open('a.py', 'w').write('import json, pkg; print(pkg.__file__)')",
                         "program.run_script('a.py', [])")  # fmt: skip


def test_src_never_hides_installed_packages(tmp_path: Path) -> None:
    write(tmp_path, {"src/pydantic/__init__.py": "", "train.py": "import pydantic; print(pydantic.__file__)"})
    assert "site-packages" in run(tmp_path, "program.run_script('train.py', [])")
    write(tmp_path, {"src/__init__.py": "", "src/only.py": "", "other.py": "import only"})
    assert "No module named 'only'" in run(tmp_path, "program.run_script('other.py', [])")


def test_a_pythonpath_that_would_replace_loaded_modules_needs_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"plain/mine.py": "", "loaded/pydantic/__init__.py": "", "custom/sitecustomize.py": ""})
    assert reason_to_start_cold("") is None
    assert reason_to_start_cold(f"plain{os.pathsep}nowhere") is None
    assert reason_to_start_cold(f"plain{os.pathsep}loaded") == (
        "PYTHONPATH has its own pydantic, and another one is already loaded"
    )
    assert (reason_to_start_cold("custom") or "").startswith("PYTHONPATH has sitecustomize, which counts only when")
    assert reason_to_start_cold(str(Path(pytest.__file__).parent.parent)) is None  # the same folder


@pytest.mark.parametrize(
    ("script", "error", "hint"),
    [
        ("pkg/train.py", RELATIVE, "headway run -m pkg.train"),
        ("src/pkg/train.py", RELATIVE, "run -m pkg.train"),
        ("train.py", RELATIVE, "cd .. && headway run -m"),
        ("pkg/train.py", ModuleNotFoundError("No module named 'pkg'", name="pkg"), "headway run -m pkg.train"),
        ("pkg/train.py", ModuleNotFoundError("No module named 'pandas'", name="pandas"), "--lock requirements.txt"),
        (None, ModuleNotFoundError("No module named 'pandas'", name="pandas"), "--python PATH"),
        ("train.py", ModuleNotFoundError("No module named 'shared'", name="shared"), "--env PYTHONPATH=lib"),
        ("train.py", ModuleNotFoundError("No module named 'pkg.x'", name="pkg.x"), None),
        ("pkg/train.py", ValueError("attempted relative import"), None),
    ],
)  # fmt: skip
def test_a_failed_import_has_a_hint_how_to_start_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, error: BaseException, hint: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"pkg/train.py": "", "src/pkg/train.py": "", "lib/shared/__init__.py": ""})
    found = import_hint(error, script)
    assert found is hint is None or hint in (found or "")
