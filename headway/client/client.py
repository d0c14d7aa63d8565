"""`headway.Client`: submit jobs and find them again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.client.accounts import Accounts
from headway.client.connection import Connection, path_part, server_url, user_credential
from headway.client.functions import call_files, check_call
from headway.client.job_file import read_job_file
from headway.client.job_handle import JobHandle
from headway.client.job_options import JobOptions
from headway.client.jobs import Jobs
from headway.client.message import Message
from headway.client.programs import check_command, check_module, check_script
from headway.client.short_errors import with_short_errors
from headway.core.spec_names import renamed_fields
from headway.errors import DatasetMissing, InvalidInput
from headway.rank_protocol.paths import CALL_SCRIPT

# Packing directories and cutting datasets is imported on first use: most commands do neither, and these imports take
# as long as all others together.


@with_short_errors
class Client:
    """Talks to a server. Raises the errors of `headway.errors`; Unavailable when no server answers.

    `url` and `token` default to HEADWAY_SERVER_URL and HEADWAY_TOKEN, else to those of `headway login`, else to the
    server and the token file of the home (`~/.headway`, or HEADWAY_HOME). `project` defaults to HEADWAY_PROJECT, else
    to the project `default`, or to the only one that the user has.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        home: Path | None = None,
        project: str | None = None,
    ) -> None:
        url = server_url(url, home)
        self._connection = Connection(
            url, user_credential(token, home, url), project or os.environ.get("HEADWAY_PROJECT") or None
        )
        self.url = self._connection.url
        self.accounts = Accounts(self._connection)
        """Users, projects, tokens and the audit."""

    def close(self) -> None:
        """Close the connections."""
        self._connection.http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Submitting

    def submit(self, spec: Mapping[str, Any], idempotency_key: str | None = None) -> JobHandle:
        """Submit a job. It is sent again under the same key until the server answers, so there are never two jobs.

        A built-in dataset that the server does not have is fetched from its public mirrors first.
        """
        try:
            return self._submit(spec, idempotency_key)
        except DatasetMissing:
            self.fetch_dataset(str(renamed_fields(spec)["dataset"]))
            return self._submit(spec, idempotency_key)

    def _submit(self, spec: Mapping[str, Any], idempotency_key: str | None) -> JobHandle:
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        response = self._connection.request("POST", "/jobs", json=dict(spec), headers=headers, retry=True)
        return JobHandle(self._connection, response.json())

    def plan(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Check a spec as `submit` does, and tell where it would run or why it waits. Nothing is stored."""
        plan: dict[str, Any] = self._connection.request("POST", "/jobs/plan", json=dict(spec)).json()
        return plan

    def train(
        self, trainer: str, *, dataset: str, world_size: int = 1, name: str | None = None, **parameters: Any
    ) -> JobHandle:
        """Submit a built-in trainer: `client.train("cnn", dataset="mnist", epochs=2)`."""
        spec = {"trainer": trainer, "dataset": dataset, "parameters": parameters, "world_size": world_size}
        return self.submit({**spec, "name": name})

    def run_script(
        self,
        script: Path | str,
        arguments: Sequence[str] = (),
        *,
        workdir: Path | str | None = None,
        **spec: Any,
    ) -> JobHandle:
        """Submit a script with its working directory; every rank runs it as torchrun would.

        `workdir` defaults to the current directory if the script is in it, else to the script's directory. `spec` takes
        other fields of a job's spec, such as `world_size` and `name`. Raises NotFound, InvalidInput, TooLarge.
        """
        return self.submit({**self.script_spec(script, workdir, _lock_of(spec)), "arguments": list(arguments), **spec})

    def run_module(
        self, module: str, arguments: Sequence[str] = (), *, workdir: Path | str | None = None, **spec: Any
    ) -> JobHandle:
        """Submit a Python module of the working directory, such as package.train; every rank runs it as `torchrun -m`.

        `workdir` defaults to the current directory. Raises NotFound, InvalidInput, TooLarge.
        """
        return self.submit({**self.module_spec(module, workdir, _lock_of(spec)), "arguments": list(arguments), **spec})

    def run_command(self, command: Sequence[str], *, workdir: Path | str | None = None, **spec: Any) -> JobHandle:
        """Submit any command with its working directory, the current one by default; every rank runs it."""
        return self.submit({**self.command_spec(command, workdir, _lock_of(spec)), **spec})

    def run(
        self, function: Callable[..., Any], *arguments: Any, options: JobOptions | None = None, **keywords: Any
    ) -> JobHandle:
        """Submit a function, for example of a notebook; every rank calls it: `client.run(train, 20, rate=0.1)`.

        `options` are those of the job: `options={"world_size": 2, "name": "mine"}`. Cloudpickle serialises it,
        and only ranks load it. The option `workdir` sends the modules of yours that it imports. Its return value on
        rank 0 is the job's `value`; if JSON cannot hold it, it is the artifact return_value.pickle. Raises
        InvalidInput when the function cannot be called with these arguments.
        """
        spec: dict[str, Any] = {**(options or {})}
        check_call(function, arguments, keywords)
        name = getattr(function, "__name__", "function").strip("<>")
        workdir = spec.pop("workdir", None)
        files = call_files(function, arguments, keywords)
        snapshot = self._upload(Path(workdir) if workdir is not None else None, files)
        labels = {"function": name, **spec.pop("labels", {})}
        return self.submit({"script": CALL_SCRIPT, "snapshot": snapshot, "labels": labels, **spec})

    def submit_file(self, path: Path | str, **changes: Any) -> JobHandle:
        """Submit the job that a YAML or JSON file describes."""
        return self.submit(self.file_spec(path, **changes))

    def file_spec(self, path: Path | str, **changes: Any) -> dict[str, Any]:
        """The spec that a job file describes; its working directory is uploaded. Raises NotFound, InvalidInput."""
        spec, workdir = read_job_file(Path(path))
        spec |= changes
        if workdir is not None and "source" not in spec:
            try:
                _check_work(spec, workdir)
            except InvalidInput as error:
                raise InvalidInput(f"Job file {path}: {error.message}") from error
            spec["snapshot"] = self._upload(workdir, lock=_lock_of(spec))
        return spec

    def script_spec(
        self, script: Path | str, workdir: Path | str | None = None, lock: str | None = None
    ) -> dict[str, Any]:
        """The part of a spec that names a script; its working directory is uploaded."""
        path = Path(script).absolute()
        check_script(path, Path(workdir or Path.cwd()).absolute())
        if workdir is not None:
            folder = Path(workdir).absolute()
        else:
            folder = Path.cwd() if path.is_relative_to(Path.cwd()) else path.parent
        if not path.is_relative_to(folder):
            raise InvalidInput(f"Script {script} is not in the working directory {folder}.")
        return {"script": path.relative_to(folder).as_posix(), "snapshot": self._upload(folder, lock=lock)}

    def module_spec(self, module: str, workdir: Path | str | None = None, lock: str | None = None) -> dict[str, Any]:
        """The part of a spec that names a module; its working directory is uploaded."""
        folder = Path(workdir or Path.cwd()).absolute()
        check_module(module, folder)
        return {"module": module, "snapshot": self._upload(folder, lock=lock)}

    def command_spec(
        self, command: Sequence[str], workdir: Path | str | None = None, lock: str | None = None
    ) -> dict[str, Any]:
        """The part of a spec that names a command; its working directory is uploaded."""
        folder = Path(workdir or Path.cwd()).absolute()
        check_command(command, folder)
        return {"command": list(command), "snapshot": self._upload(folder, lock=lock)}

    def fresh_snapshot(self, spec: Mapping[str, Any], workdir: Path | str | None = None) -> str:
        """Send the files that a job's spec names, as they are now in a directory, the current one by default.

        Returns the snapshot's hash. Raises NotFound, InvalidInput when the directory does not have what the job runs.
        """
        if spec["snapshot"] is None:
            raise InvalidInput("This job has no files of a working directory. Run it again without --fresh.")
        folder = Path(workdir or Path.cwd()).absolute()
        _check_work(spec, folder)
        return self._upload(folder, lock=_lock_of(spec))

    def _upload(self, folder: Path | None, files: Mapping[str, bytes] | None = None, *, lock: str | None = None) -> str:
        from headway.client.snapshots import send_snapshot

        return send_snapshot(self._connection, folder, files, lock)

    # Looking

    def job(self, reference: str) -> JobHandle:
        """The job with that id or name. Raises NotFound."""
        return JobHandle(self._connection, self._connection.request("GET", f"/jobs/{path_part(reference)}").json())

    def jobs(
        self,
        statuses: Sequence[str] = (),
        limit: int = 50,
        *,
        name: str = "",
        dataset: str | None = None,
        labels: Mapping[str, str] | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        sort: str = "created",
        ascending: bool = False,
    ) -> Jobs:
        """Jobs that match everything given, newest first unless sorted by duration, loss, accuracy or f1.

        `statuses` are as people see them: a job on hold is paused, not queued.
        """
        wanted = {*statuses}
        asked = {
            "status": sorted({"queued" if one == "paused" else one for one in wanted}),
            "name": name,
            "dataset": dataset,
            "label": [f"{key}={value}" for key, value in (labels or {}).items()],
            "created_after": created_after,
            "created_before": created_before,
            "sort": sort,
            "order": "ascending" if ascending else "descending",
        }
        query = {key: value for key, value in asked.items() if value not in (None, "", [])}
        found = Jobs()
        cursor: str | None = None
        while len(found) < limit:
            page_query = {**query, "limit": min(limit - len(found), 500), **({"cursor": cursor} if cursor else {})}
            page = self._connection.request("GET", "/jobs", params=page_query).json()
            handles = (JobHandle(self._connection, row=one) for one in page["jobs"])
            found += [one for one in handles if not wanted or one.shown_status in wanted]
            cursor = page["next"]
            if cursor is None:
                break
        return found

    def watch(self, *topics: str | JobHandle | Mapping[str, Any]) -> Iterator[Message]:
        """Everything that happens to what is named, over one connection: `jobs` (all of the project), `workers`,
        `queue`, a job, or a topic as the API takes it, such as `{"topic": "job", "job": "mine", "cursor": ...}`.

        First comes what there is, then what changes. `subscription` of a message is the topic, or the job's name. After
        a lost connection it continues where it was. It ends when all named jobs have ended and nothing else is named.
        """
        from headway.client.watching import watch

        return watch(self._connection, topics)

    def tokens(self) -> list[dict[str, Any]]:
        """The valid tokens, without their text. `id` is None for tokens of earlier versions."""
        return self.accounts.tokens()

    def whoami(self) -> dict[str, Any]:
        """The account of the token. `user` is None for the token of the server's home, which may do everything."""
        account: dict[str, Any] = self._connection.request("GET", "/account").json()
        return account

    def damaged(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Stored rows that could not be read since the server started, of all kinds or one. Lists leave them out."""
        params = {} if kind is None else {"kind": kind}
        found: list[dict[str, Any]] = self._connection.request("GET", "/damaged", params=params).json()
        return found

    def delete_damaged(self, kind: str, row_id: str) -> None:
        """Delete a damaged row; a job with everything that belongs to it. Raises NotFound."""
        self._connection.request("DELETE", f"/damaged/{path_part(kind)}/{path_part(row_id)}")

    def delete_job(self, reference: str) -> None:
        """Delete the ended or damaged job with that id or name, and everything that belongs to it. Raises NotFound."""
        self._connection.request("DELETE", f"/jobs/{path_part(reference)}")

    def goodput(self, days: float = 30) -> dict[str, Any]:
        """The seconds of useful training of the jobs of the last days, of the rest, and the useful fraction."""
        found: dict[str, Any] = self._connection.request("GET", "/goodput", params={"days": days}).json()
        return found

    def workers(self) -> list[dict[str, Any]]:
        """The connected workers."""
        workers: list[dict[str, Any]] = self._connection.request("GET", "/workers").json()
        return workers

    def drain_worker(self, name: str, *, draining: bool = True) -> dict[str, Any]:
        """Move a worker's jobs elsewhere and give it no new ones, or let it take jobs again. Raises NotFound."""
        verb = "drain" if draining else "undrain"
        drained: dict[str, Any] = self._connection.request("POST", f"/workers/{path_part(name)}/{verb}").json()
        return drained

    def restore_worker(self, name: str) -> dict[str, Any]:
        """Let a quarantined worker take jobs again. Raises NotFound."""
        restored: dict[str, Any] = self._connection.request("POST", f"/workers/{path_part(name)}/restore").json()
        return restored

    def trainers(self) -> dict[str, Any]:
        """The built-in trainers, with a JSON schema of the parameters of each."""
        trainers: dict[str, Any] = self._connection.request("GET", "/trainers").json()
        return trainers

    def link(self) -> str:
        """A URL that opens Headway in a browser, once."""
        return self.url + str(self._connection.request("POST", "/links").json()["path"])

    # Datasets

    def datasets(self) -> list[dict[str, Any]]:
        """The registered datasets."""
        datasets: list[dict[str, Any]] = self._connection.request("GET", "/datasets").json()
        return datasets

    def dataset(self, name: str) -> dict[str, Any]:
        """One registered dataset: its index, who registered it, and when. Raises NotFound."""
        dataset: dict[str, Any] = self._connection.request("GET", f"/datasets/{path_part(name)}").json()
        return dataset

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset that no unfinished job uses. Models and ended jobs stay. Raises NotFound, Conflict."""
        self._connection.request("DELETE", f"/datasets/{path_part(name)}")

    def add_dataset(self, name: str, path: Path | str) -> dict[str, Any]:
        """Register a dataset: a folder of IDX files named as MNIST's, or an .npz. Raises InvalidInput, Conflict."""
        from headway.client.datasets import add_dataset

        return add_dataset(self._connection, name, Path(path))

    def fetch_dataset(self, name: str) -> dict[str, Any]:
        """Fetch a built-in dataset from its public mirrors, verify and register it. Raises Unavailable, Corrupt."""
        from headway.client.datasets import fetch_dataset

        return fetch_dataset(self._connection, name)

    def download_dataset(self, name: str, folder: Path | str | None = None) -> Path:
        """Write a dataset as ranks see it: a .npy file per array, and dataset.json. Raises NotFound."""
        from headway.client.datasets import download_dataset

        return download_dataset(self._connection, name, Path(folder or name))


def _check_work(spec: Mapping[str, Any], folder: Path) -> None:
    """Check the program that a job file names, if it has the right type. The server checks the rest."""
    script, module, command = spec.get("script"), spec.get("module"), spec.get("command")
    if isinstance(script, str):
        check_script(folder / script, folder)
    elif isinstance(module, str):
        check_module(module, folder)
    elif isinstance(command, list) and command and all(isinstance(part, str) for part in command):
        check_command(command, folder)


def _lock_of(spec: Mapping[str, Any]) -> str | None:
    environment = spec.get("environment")
    lock = environment.get("lock") if isinstance(environment, Mapping) else None
    return lock if isinstance(lock, str) else None
