"""Outputs of jobs, and their download."""

from __future__ import annotations

from pathlib import Path

from tests.fleet import Fleet, ended


def test_outputs_are_kept_also_after_a_failure(shared_fleet: Fleet, tmp_path: Path) -> None:
    source = """
import os, pathlib
out = pathlib.Path(os.environ["HEADWAY_OUTPUT_DIRECTORY"])
(out / "deep").mkdir(parents=True); (out / "deep" / "ünï.txt").write_text("kept")
(out / "link").symlink_to("/etc/passwd")
pathlib.Path("results").mkdir(); pathlib.Path("results/a.csv").write_text("1,2"); pathlib.Path("results/b.tmp").touch()
raise SystemExit(4)
"""
    job = ended(shared_fleet.script(source, outputs=["results/*.csv"]))
    assert job.status == "failed"
    assert sorted(one["name"] for one in job.data["artifacts"]) == ["deep/ünï.txt", "results/a.csv"]
    paths = job.download(folder=tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_text() for path in paths} == {
        "deep/ünï.txt": "kept",
        "results/a.csv": "1,2",
    }


def test_files_of_a_second_worker_do_not_replace_the_firsts(shared_fleet: Fleet) -> None:
    source = "import os; open(os.environ['HEADWAY_OUTPUT_DIRECTORY'] + '/who', 'w').write(os.environ['GROUP_RANK'])"
    job = ended(shared_fleet.script(source, world_size=4))
    assert sorted(one["name"] for one in job.data["artifacts"]) == ["who", "worker-1/who"]


def test_a_download_continues_where_it_was_cut_off(shared_fleet: Fleet, tmp_path: Path) -> None:
    source = "import os; open(os.environ['HEADWAY_OUTPUT_DIRECTORY'] + '/big', 'wb').write(bytes(range(256)) * 4096)"
    job = ended(shared_fleet.script(source))
    (artifact,) = job.data["artifacts"]
    partial = tmp_path / f".big.{artifact['sha256'][:12]}.part"
    partial.write_bytes(bytes(range(256)) * 100)
    assert job.download(folder=tmp_path)[0].read_bytes() == bytes(range(256)) * 4096
    assert not partial.exists()
