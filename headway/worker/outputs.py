"""What an attempt's ranks left: files in the output directory, and what the spec's globs match."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from headway.core.artifact import legal_name
from headway.core.facts import ArtifactStored
from headway.core.protocol import Claimed
from headway.errors import HeadwayError, Unavailable
from headway.worker.connection import Connection

_log = logging.getLogger(__name__)
MAXIMUM_FILES = 500
_RETRY_SECONDS = 0.5


@dataclass
class Stored:
    """What was stored, and a sentence about what was not."""

    facts: list[ArtifactStored] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def warning(self) -> str | None:
        """All that went wrong, short enough for a fact."""
        return " ".join(self.problems)[:1000] or None


async def store_outputs(
    claimed: Claimed, output: Path, work: Path, connection: Connection, give_up: Callable[[], bool]
) -> Stored:
    """Upload every file; waits for a server that is away until `give_up` says so. A bad file does not stop the rest."""
    stored = Stored()
    found, renamed = _named(await asyncio.to_thread(lambda: sorted(_find(output, work, claimed.spec.outputs))))
    if len(found) > MAXIMUM_FILES:
        stored.problems.append(
            f"{len(found)} files were left and {MAXIMUM_FILES} of them stored; pack many files into an archive."
        )
    if renamed:
        stored.problems.append(
            f"{renamed} names of files are not UTF-8, or have control characters or backslashes: such a byte is stored "
            "as a percent sign and its number, as in URLs."
        )
    prefix = f"worker-{claimed.group_rank}/" if claimed.group_rank else ""
    for name, path in found[:MAXIMUM_FILES]:
        while not give_up():
            try:
                artifact = await connection.store_artifact(claimed, prefix + name, path)
                stored.facts.append(ArtifactStored(artifact=artifact))
                break
            except Unavailable as error:
                _log.warning("Storing %s waits for the server: %s", name, error)
                await asyncio.sleep(_RETRY_SECONDS)
            except (HeadwayError, OSError, ValidationError) as error:
                stored.problems.append(f"{name} was not stored: {error}")
                break
        else:
            stored.problems.append(f"{name} was not stored.")
    return stored


def _named(found: list[tuple[str, Path]]) -> tuple[list[tuple[str, Path]], int]:
    """The files under names that artifacts may have, each once; and how many had another name."""
    taken = {name for name, _ in found}
    named, renamed = [], 0
    for name, path in found:
        legal = legal_name(name)
        if legal != name:
            renamed += 1
            while legal in taken:
                legal += "_"
            taken.add(legal)
        named.append((legal, path))
    return named, renamed


def _find(output: Path, work: Path, patterns: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """(name, path) of each file once. Links are not followed: they may lead anywhere."""
    seen: set[str] = set()
    for folder, paths in ((output, output.rglob("*")), *((work, work.glob(pattern)) for pattern in patterns)):
        for path in paths:
            for file in path.rglob("*") if path.is_dir() and folder is work and not path.is_symlink() else (path,):
                name = file.relative_to(folder).as_posix()
                if name not in seen and file.is_file() and not _through_link(file, folder):
                    seen.add(name)
                    yield name, file


def _through_link(path: Path, folder: Path) -> bool:
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)) or path.is_symlink()
