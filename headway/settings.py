"""All settings, with unit, default and reason. Each is read from the environment variable `HEADWAY_` + its name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headway.core.frozen import Seconds
from headway.core.invalid_fields import invalid_field
from headway.core.protocol import Timeouts
from headway.errors import SettingInvalid
from headway.home import default_home
from headway.rank_protocol import rank_variables

PREFIX = "HEADWAY_"
NO_SETTINGS = rank_variables.ALL | {"HEADWAY_TOKEN", "HEADWAY_PROJECT", "HEADWAY_RANK_TOKEN", "HEADWAY_SERVICES"}
"""Variables with the prefix that are not settings: of ranks, of the client, and of the test suite."""
RENAMED = {
    "HEADWAY_DRAIN_SECONDS": "HEADWAY_SETTLE_SECONDS",
    "HEADWAY_ASSIGNMENTS_URL": "HEADWAY_WAKEUPS_URL",
    "HEADWAY_ENGINE_URL": "HEADWAY_ENGINE_URLS",
}
"""Former names of settings, with their current names."""
_SERVICE_LINK = re.compile(
    r"HEADWAY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)"
)
_SERVICE_LINK_PORT = re.compile(r"HEADWAY_([A-Z0-9_]+_)?PORT")


def _packaged_sources() -> tuple[Path, ...]:
    checkout = Path(__file__).parent.parent / "examples" / "data"
    packaged = Path(__file__).parent / "data"
    return tuple(path for path in (checkout, packaged) if path.is_dir())


class Settings(Timeouts):
    """All settings of the server."""

    home: Path = Field(default_factory=default_home)
    """Folder with all data of an embedded installation."""
    host: str = "127.0.0.1"
    """Address that the server listens on."""
    port: int = Field(default=8420, ge=0, le=65535)
    """Port that the server listens on; 0: any free port."""
    database_url: str | None = None
    """URL of the database. Default: SQLite in the home."""
    objects_url: str | None = None
    """Where artifacts and blocks are stored. Default: files in the home."""
    broker_url: str = "embedded:"
    """Carries wake-ups and reports. Embedded: over the worker's own connection to the server."""
    wakeups_url: str | None = None
    """Carries wake-ups, if that is not HEADWAY_BROKER_URL."""
    reports_url: str | None = None
    """Carries reports, if that is not HEADWAY_BROKER_URL."""
    cache_url: str = "memory:"
    """Caches dataset blocks. Losing it costs only speed."""
    cache_bytes: int = Field(default=64 << 20, ge=0)
    """Size limit of the memory cache."""
    engine_urls: tuple[str, ...] = ()
    """Other sources of workers than the fleet, separated by commas: `local:`, `kubernetes:`."""
    default_engine: str = "fleet"
    """The engine of jobs that name none."""
    dataset_directories: tuple[Path, ...] = Field(default_factory=_packaged_sources)
    """Folders with the sources of the datasets mnist and digits."""
    leader_lease_seconds: Seconds = Field(default=1.5, gt=0)
    """Another server on the same database takes over after the leader was silent for this long."""
    advertised_url: str | None = None
    """URL under which other servers on the same database reach this one. Default: its host and port."""
    behind_proxy: bool = False
    """A proxy with TLS stands in front of the server, or the network is trusted: it may listen on any address."""
    proxy_addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses or networks of that proxy, separated by commas. What it says of its clients' addresses is believed."""
    tls_certificate: Path | None = None
    """File with the server's certificate and those that lead to its root. It may change while the server runs."""
    tls_key: Path | None = None
    """File with the key of the certificate."""
    token_days: float | None = Field(default=None, ge=1, le=36_500)
    """How long new tokens in the home are valid; the server renews them. Default: they do not expire."""
    claim_timeout_seconds: Seconds = Field(default=10.0, gt=0)
    """How long an offered assignment may stay unclaimed."""
    shrink_wait_seconds: Seconds = Field(default=5.0, ge=0)
    """How long a job that may run with fewer ranks waits for slots for all ranks."""
    allocation_timeout_seconds: Seconds = Field(default=600.0, gt=0)
    """How long an allocation may hold some of its machines while its engine has no room for the others."""
    prepare_timeout_seconds: Seconds = Field(default=600.0, gt=0)
    """How long a claimed assignment may take until its ranks start, including data and environment."""
    stop_timeout_seconds: Seconds = Field(default=30.0, gt=0)
    """How long a worker may take to end ranks, beyond their grace time, before it is declared lost."""
    settle_seconds: Seconds = Field(default=360.0, gt=0)
    """How long the server waits for the streams of a lost worker after its attempt has ended."""
    catch_up_seconds: Seconds = Field(default=2.0, gt=0)
    """How long the server reads reports in the broker before a lost worker ends its attempt."""
    stream_retention_days: float = Field(default=30.0, gt=0)
    """Age at which logs and metrics of ended jobs are deleted."""
    stream_retention_bytes: int = Field(default=10 << 30, gt=0)
    """Size limit of all logs and metrics. Above it, those of the oldest ended jobs are deleted."""
    artifact_retention_days: float = Field(default=365.0, gt=0)
    """Age at which artifacts of ended jobs are deleted."""
    artifact_retention_bytes: int = Field(default=500 << 30, gt=0)
    """Size limit of all artifacts. Above it, those of the oldest ended jobs are deleted."""
    maximum_artifact_bytes: int = Field(default=64 << 30, gt=0)
    """Size limit of an artifact, and of a part of a checkpoint."""
    maximum_snapshot_bytes: int = Field(default=256 << 20, gt=0)
    """Size limit of a packed working directory. Use datasets for larger data."""

    @property
    def timeouts(self) -> Timeouts:
        """The part that the server sends to workers."""
        return Timeouts(**{name: getattr(self, name) for name in Timeouts.model_fields})

    @property
    def effective_database_url(self) -> str:
        """The database's URL with the default filled in."""
        return self.database_url or f"sqlite://{self.home.absolute() / 'headway.db'}"

    @property
    def effective_wakeups_url(self) -> str:
        """The URL of the broker of wake-ups with the default filled in."""
        return self.wakeups_url or self.broker_url

    @property
    def effective_reports_url(self) -> str:
        """The URL of the broker of reports with the default filled in."""
        return self.reports_url or self.broker_url

    @property
    def effective_objects_url(self) -> str:
        """The object store's URL with the default filled in."""
        return self.objects_url or f"file://{self.home.absolute() / 'objects'}"


def refuse_renamed(environment: Mapping[str, str]) -> None:
    """Raises SettingInvalid for a renamed variable, so that it is not silently ignored."""
    for former, name in RENAMED.items():
        if former in environment:
            raise SettingInvalid(f"{former} is called {name} now: rename the variable.")


_LISTS = ("engine_urls", "proxy_addresses")
"""Settings that have several values, separated by commas."""


def _split(name: str, value: str) -> object:
    """The value of a variable: of a setting that has several, the list of them."""
    if name == "dataset_directories":
        return value.split(os.pathsep)
    return [one.strip() for one in value.split(",") if one.strip()] if name in _LISTS else value


def _is_service_link(variable: str, value: str) -> bool:
    """Whether Kubernetes put it into the pod for a Service named headway or headway-..., as HEADWAY_PORT=tcp://..."""
    if _SERVICE_LINK_PORT.fullmatch(variable) and value.startswith(("tcp://", "udp://", "sctp://")):
        return True
    return _SERVICE_LINK.fullmatch(variable) is not None


def load_settings(environment: Mapping[str, str], **options: object) -> Settings:
    """Settings from `HEADWAY_*` variables, then from options that are not None.

    Raises SettingInvalid that names an unknown, renamed or invalid setting.
    """
    refuse_renamed(environment)
    values: dict[str, object] = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in NO_SETTINGS or _is_service_link(variable, value):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in Settings.model_fields:
            raise SettingInvalid(
                f"{variable} is not a setting of Headway; see docs/reference/settings.md, or unset it."
            )
        values[name] = _split(name, value)
    values.update({name: value for name, value in options.items() if value is not None})
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name, message = invalid_field(problem, Settings)
        raise SettingInvalid(f"{PREFIX}{name.upper()} is {problem['input']!r}: {message}.") from error
    if settings.orphan_timeout_seconds >= settings.settle_seconds:
        raise SettingInvalid(
            f"HEADWAY_ORPHAN_TIMEOUT_SECONDS is {settings.orphan_timeout_seconds:g}; it must be below "
            f"HEADWAY_SETTLE_SECONDS, which is {settings.settle_seconds:g}."
        )
    return settings


class WorkerSettings(BaseModel):
    """All settings of a worker. It gets the timeouts from its server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server_url: str
    """URL of the server."""
    home: Path
    """Folder for the worker's spool, its attempts' files and its dataset cache. Only one worker may use it."""
    name: str
    """The worker's name. The server adds a number if the name is taken."""
    token_file: Path
    """File with the token that lets a machine register."""
    slots: int = Field(ge=1, le=4096)
    """How many ranks run at the same time."""
    seat: int | None = Field(default=None, ge=0)
    """The number of its seat in an allocation, for a worker that was made for one job."""
    start: str = ""
    """Which start of the seat it is."""
    grace_seconds: Seconds = Field(default=30.0, gt=0)
    """Time that a worker of an allocation has from SIGTERM until it is killed."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that jobs can require with `where`."""
    host: str | None = None
    """Address for other workers' ranks and the server's probe. Default: that of the route to the server."""
    wakeups_url: str | None = None
    """URL of the broker of wake-ups from this machine. Default: the server's."""
    reports_url: str | None = None
    """URL of the broker of reports from this machine. Default: the server's."""
    interface: str | None = None
    """Network interface that ranks use between workers. Default: that of the route to rank 0's worker."""
    dataset_cache_bytes: int = Field(default=50 << 30, gt=0)
    """Size limit of the local dataset cache. The least recently used datasets are deleted first."""
    snapshot_cache_bytes: int = Field(default=5 << 30, gt=0)
    """Size limit of the local cache of packed working directories."""
    environment_cache_bytes: int = Field(default=40 << 30, gt=0)
    """Size limit of the environments built from lock files. One with torch and CUDA has about 6 GB."""
    work_cache_bytes: int = Field(default=50 << 30, gt=0)
    """Size limit of the working directories of jobs. The least recently used are deleted first."""
    work_retention_seconds: Seconds = Field(default=86_400.0, ge=0)
    """How long a working directory stays after its job's end if some of its files were not stored."""
    unasked_output_bytes: int = Field(default=2 << 30, ge=0)
    """How many bytes of new and changed files of a working directory are stored for jobs without `--output`."""
