"""The verbs of datasets: list, get, add, delete, read a block; and `find`, which registers a built-in one when used."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headway.core.dataset import BUILT_IN, Block, Dataset, OwnedDataset, RegisteredDataset, check_index
from headway.core.job_query import JobQuery
from headway.core.nearest import did_you_mean
from headway.core.status import JobStatus
from headway.database.base import Database
from headway.errors import Conflict, DatasetMissing, InvalidInput, NotFound
from headway.formats import blocks
from headway.server.access import Action, Caller, DatasetSubject, detail, require, require_in_project
from headway.server.clock import Clock
from headway.server.services.blocks import Blocks
from headway.server.services.jobs import Jobs

_UNFINISHED = tuple(status for status in JobStatus if not status.terminal)
_NAMED_JOBS = 10
"""A refused deletion names so many jobs that use the dataset."""


class Datasets:
    """A project has its own datasets and the built-in ones, which all projects share. Its own dataset hides a shared
    one of the same name."""

    def __init__(
        self, database: Database, jobs: Jobs, blocks: Blocks, clock: Clock, directories: tuple[Path, ...]
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._blocks = blocks
        self._clock = clock
        self._directories = directories
        self._submitting: Counter[tuple[str, str]] = Counter()
        self._known: dict[tuple[str | None, str], OwnedDataset] = {}
        self._registering = asyncio.Lock()

    async def open(self) -> None:
        """Load the registered datasets."""
        for owned in await self._database.datasets():
            self._learn(owned)

    def _learn(self, owned: OwnedDataset) -> None:
        self._known[owned.project, owned.dataset.name] = owned
        self._blocks.index(owned)

    async def find(self, project: str, name: str) -> Dataset:
        """The dataset's index; a built-in one is registered at its first use.

        Raises InvalidInput, which lists the known names, or the folders that were searched for the source.
        """
        async with self._registering:
            owned = self.registered(project, name)
            if owned is None:
                if name not in BUILT_IN:
                    known = sorted({*self._names(project), *BUILT_IN})
                    meant = did_you_mean(name, known)
                    raise InvalidInput(f"Dataset {name} does not exist.{meant} There are: {', '.join(known)}.")
                owned = await self._register(name)
            return owned.dataset

    def registered(self, project: str, name: str) -> OwnedDataset | None:
        """The dataset that the name means in the project; None if none is registered."""
        return self._known.get((project, name)) or self._known.get((None, name))

    def _names(self, project: str) -> set[str]:
        return {name for owner, name in self._known if owner in (None, project)}

    @contextmanager
    def submitting(self, project: str, name: str) -> Iterator[None]:
        """Keep a dataset while a job that uses it is checked and stored: `delete` refuses meanwhile.

        Whoever enters while a deletion is under way finds no dataset: `find` waits for its end.
        """
        self._submitting[project, name] += 1
        try:
            yield
        finally:
            self._submitting[project, name] -= 1
            if not self._submitting[project, name]:
                del self._submitting[project, name]

    def get(self, caller: Caller, project: str, name: str) -> RegisteredDataset:
        """A registered dataset. Raises NotFound, NotAllowed."""
        owned = self.registered(project, name)
        if owned is None:
            raise _absent(name)
        require(caller, Action.DATASETS_READ, DatasetSubject(name, owned.project), _absent(name))
        return owned.registered

    def list(self, caller: Caller, project: str) -> list[Dataset]:
        """The project's registered datasets, by name. Raises NotAllowed."""
        require_in_project(caller, Action.DATASETS_READ, project)
        found = (self.registered(project, name) for name in sorted(self._names(project)))
        return [owned.dataset for owned in found if owned is not None]

    async def block(self, caller: Caller, project: str, sha256: str) -> bytes:
        """The compressed bytes of a block of a dataset that the project has, or that a worker's claimed jobs need.

        Raises NotFound.
        """
        absent = NotFound(f"Block {sha256[:12]} does not exist. `headway datasets` lists the datasets that do.")
        usable = self._needed_by(caller.worker) if caller.worker else self._of_project(project)
        for owned in self._blocks.datasets_of(sha256):
            if (owned.project, owned.dataset.name) in usable:
                subject = DatasetSubject(owned.dataset.name, owned.project, needed_by=caller.worker)
                require(caller, Action.BLOCKS_READ, subject, absent)
                return await self._blocks.read(sha256)
        raise absent

    def _of_project(self, project: str) -> set[tuple[str | None, str]]:
        return {key for key in self._known if key[0] in (None, project)}

    def _needed_by(self, worker: str) -> set[tuple[str | None, str]]:
        """The datasets that the worker's claimed jobs train on."""
        jobs = self._jobs.unsettled.claimed_by(worker)
        found = (self.registered(job.project, job.spec.dataset) for job in jobs if job.spec.dataset)
        return {(owned.project, owned.dataset.name) for owned in found if owned is not None}

    async def add(self, caller: Caller, project: str, dataset: Dataset) -> Dataset:
        """Register a dataset whose blocks the project has; the same index again changes nothing.

        Raises InvalidInput when blocks are missing or the index is inconsistent, Conflict when another dataset has the
        name.
        """
        require_in_project(caller, Action.DATASETS_WRITE, project)
        check_index(dataset)
        async with self._registering:
            known = self.registered(project, dataset.name)
            if known is not None and known.dataset != dataset:
                raise Conflict(f"Dataset {dataset.name} exists already with other contents. Choose another name.")
            every_block = (block for split in dataset.splits.values() for block in split.blocks)
            missing = await self._blocks.absent(project, every_block)
            if missing:
                raise InvalidInput(f"Dataset {dataset.name} names {len(missing)} blocks that were not sent.")
            owned = known or OwnedDataset(project, dataset, caller.user_name, self._clock.now())
            await self._store(owned)
            await self._blocks.forget_owners(project, owned)
            return dataset

    async def delete(self, caller: Caller, project: str, name: str) -> None:
        """Delete a dataset of the project. Models and ended jobs stay.

        Raises NotFound, NotAllowed, and Conflict for a built-in dataset or one that unfinished jobs use.
        """
        async with self._registering:
            owned = self.registered(project, name)
            if owned is None:
                raise _absent(name)
            require(caller, Action.DATASETS_WRITE, DatasetSubject(name, project), _absent(name))
            detail("deleted")
            if owned.project is None:
                raise Conflict(f"Dataset {name} is built in, and all projects share it. It cannot be deleted.")
            await self._check_unused(project, name)
            await self._database.delete_dataset(project, name)
            del self._known[project, name]
            self._blocks.forget(owned)

    async def _check_unused(self, project: str, name: str) -> None:
        """Raises Conflict if an unfinished job uses the dataset.

        Submissions are asked for first: one that ends while the jobs are read has stored its job before.
        """
        if self._submitting[project, name]:
            raise Conflict(f"A job that uses dataset {name} is being submitted. Try again in a moment.")
        query = JobQuery(project, statuses=_UNFINISHED, dataset=name, limit=_NAMED_JOBS + 1)
        users = [job.name for job in await self._database.jobs(query)]
        if users:
            named = ", ".join(users[:_NAMED_JOBS]) + (" and others" if len(users) > _NAMED_JOBS else "")
            raise Conflict(f"Unfinished jobs use dataset {name}: {named}. Cancel them, or wait until they have ended.")

    async def _store(self, owned: OwnedDataset) -> None:
        await self._database.put_dataset(owned)
        self._learn(owned)

    async def _register(self, name: str) -> OwnedDataset:
        folder = next((path / name for path in self._directories if (path / name).is_dir()), None)
        if folder is None:
            looked = ", ".join(str(path) for path in self._directories) or "no directory"
            raise DatasetMissing(
                f"No source files for dataset {name}: looked in {looked}. "
                f"Fetch them with `headway datasets add {name}`, "
                f"or set HEADWAY_DATASET_DIRECTORIES to a folder that has {name}/."
            )
        dataset, contents = await asyncio.to_thread(_build, name, folder)
        await self._blocks.store_missing(contents)
        owned = OwnedDataset(None, dataset)
        await self._store(owned)
        return owned


def _absent(name: str) -> NotFound:
    return NotFound(f"Dataset {name} is not registered. `headway datasets` lists those that are.")


def _build(name: str, folder: Path) -> tuple[Dataset, list[tuple[Block, bytes]]]:
    from headway.formats.dataset_files import describe, prepare, read_dataset

    arrays = prepare(read_dataset(folder / BUILT_IN[name]), str(folder))
    splits, contents = blocks.cut_splits(arrays)
    return describe(name, arrays, splits, folder.name), contents
