"""The wiring of a server: which backends and services it has, what each one gets, and which parts hear of changes."""

from __future__ import annotations

from headway.brokers.embedded import EmbeddedBroker
from headway.engines.base import AllocatingEngine
from headway.errors import Unavailable
from headway.server.allocator import Allocator
from headway.server.callers import Callers
from headway.server.clock import Clock
from headway.server.counters import ServerCounters
from headway.server.directory import Directory
from headway.server.home_tokens import HomeTokens
from headway.server.housekeeping import Housekeeping
from headway.server.ids import draw_id
from headway.server.leading import Leading
from headway.server.leases import Leases
from headway.server.links import Links
from headway.server.login_limits import LoginLimits
from headway.server.open_backends import Backends
from headway.server.passwords import Passwords
from headway.server.quarantine import Quarantine
from headway.server.recorder import Recorder
from headway.server.relay import Relay
from headway.server.report_senders import ReportSenders
from headway.server.scheduler import Scheduler
from headway.server.services.access_tokens import AccessTokens
from headway.server.services.artifacts import Artifacts
from headway.server.services.assignments import Assignments
from headway.server.services.audit import Audit
from headway.server.services.blocks import Blocks
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.credentials import Credentials
from headway.server.services.curves import Curves
from headway.server.services.damaged import DamagedRows
from headway.server.services.datasets import Datasets
from headway.server.services.explanations import Explanations
from headway.server.services.following import Following
from headway.server.services.goodputs import Goodputs
from headway.server.services.heartbeats import Heartbeats
from headway.server.services.inquiries import Inquiries
from headway.server.services.invitations import Invitations
from headway.server.services.job_control import JobControl
from headway.server.services.job_feed import JobFeed
from headway.server.services.jobs import Jobs
from headway.server.services.live_channel import LiveChannels
from headway.server.services.log_search import LogSearches
from headway.server.services.logins import Logins
from headway.server.services.metrics import Metrics
from headway.server.services.polling import Polling
from headway.server.services.projects import Projects
from headway.server.services.queue import Queue
from headway.server.services.rows import Rows
from headway.server.services.snapshots import Snapshots
from headway.server.services.specs import Specs
from headway.server.services.streams import Streams
from headway.server.services.submission import Submission
from headway.server.services.telemetry import Telemetry
from headway.server.services.users import Users
from headway.server.services.worker_connections import WorkerConnections
from headway.server.services.workers import Workers
from headway.server.session_tokens import SessionSigner
from headway.server.sessions import Sessions
from headway.server.sinks.rows import RowSink
from headway.server.watchers import Watchers
from headway.server.worker_registry import WorkerRegistry
from headway.settings import Settings


class Server:
    """Everything that one server process has. `headway.server.startup` starts it. Tests replace `embedded` and `clock`.

    `running`: the server has started, leads, and is not stopping.
    """

    def __init__(
        self, settings: Settings, *, embedded: EmbeddedBroker | None = None, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.home = HomeTokens(settings.home, self.clock.now, settings.token_days)
        self.tokens = self.home.tokens
        self.backends = Backends(settings, embedded)
        self.counters = ServerCounters(self.backends.database.damage)
        self._wire_accounts()
        self.leading: Leading | None = None
        if self.backends.database.shared:
            self.leading = Leading(self.backends.database, self.clock, draw_id("s-"), settings.leader_lease_seconds)
        self.running = False
        self._wire_jobs()
        self._wire_data()
        self._wire_workers()
        self._wire_callers()
        self._wire_submission()
        self._wire_loops()

    async def check_ready(self) -> None:
        """Prove that requests can be served. Raises Unavailable."""
        if not self.running:
            raise Unavailable("The server is starting or stopping.")
        await self.backends.database.check()

    def _wire_accounts(self) -> None:
        """Who uses the installation, and what becomes known of what they do."""
        self.directory = Directory(self.backends.database, self.clock)
        self.access_tokens = AccessTokens(self.directory, self.clock)
        self.users = Users(self.directory, self.clock)
        self.audit = Audit(self.backends.database, self.clock, self.counters)
        self.links = Links(self.directory, self.clock)
        self.sessions = Sessions(self.directory, self.clock)
        self.signer = SessionSigner(self.tokens, self.clock)
        self.passwords = Passwords()
        self.invitations = Invitations(self.directory, self.passwords, self.clock)
        self.login_limits = LoginLimits(self.directory, self.tokens, self.clock)

    def _wire_jobs(self) -> None:
        """The jobs, and what the server knows about them."""
        database = self.backends.database
        self.watchers = Watchers()
        self.jobs = Jobs(database, self.clock)
        self.registry = WorkerRegistry(database)
        self.projects = Projects(self.directory, self.jobs, self.clock)
        self.queue = Queue(database)
        embedded = self.backends.reports is self.backends.embedded  # the worker's connection checks its reports
        self.senders = ReportSenders(self.tokens, self.registry)
        self.curves = Curves(database, self.jobs)
        self.recorder = Recorder(
            database=database,
            jobs=self.jobs,
            broker=self.backends.reports,
            opened=(lambda body: body) if embedded else self.senders.opened,
            watchers=self.watchers,
            curves=self.curves,
            clock=self.clock,
            counters=self.counters,
            catch_up_seconds=self.settings.catch_up_seconds,
        )
        self.streams = Streams(database, self.jobs, self.recorder)
        self.following = Following(self.jobs, self.streams, self.watchers, self.backends.wakeups)
        self.log_searches = LogSearches(database, self.jobs, self.streams)
        self.metrics = Metrics(database, self.jobs, self.streams)
        self.live = LiveChannels(self.watchers)
        self.polling = Polling(self.watchers)
        self.job_feed = JobFeed(database, self.jobs, self.watchers)
        self.goodputs = Goodputs(database, self.jobs, self.clock)

    def _wire_data(self) -> None:
        """The files that jobs read and store."""
        database, objects, settings = self.backends.database, self.backends.objects, self.settings
        self.blocks = Blocks(database, objects, self.backends.cache, self.clock)
        self.datasets = Datasets(database, self.jobs, self.blocks, self.clock, settings.dataset_directories)
        self.snapshots = Snapshots(objects, database, self.jobs, settings.maximum_snapshot_bytes)
        self.specs = Specs(self.datasets, self.snapshots)
        self.checkpoints = Checkpoints(database, objects, self.jobs, self.clock, settings.maximum_artifact_bytes)
        self.artifacts = Artifacts(objects, self.jobs, settings.maximum_artifact_bytes)
        self.damaged = DamagedRows(database, self.jobs, self.artifacts, self.checkpoints)
        self.telemetry = Telemetry(self.clock, self.jobs)

    def _wire_workers(self) -> None:
        """The workers, and their requests."""
        self.leases = Leases(self.clock, self.settings.lease_seconds)
        self.inquiries = Inquiries(self.backends.wakeups, self.jobs, self.audit)
        self.workers = Workers(
            settings=self.settings,
            clock=self.clock,
            tokens=self.tokens,
            jobs=self.jobs,
            registry=self.registry,
            engines=self.backends.engines,
            leases=self.leases,
            recorder=self.recorder,
            telemetry=self.telemetry,
            counters=self.counters,
            access_tokens=self.access_tokens,
        )
        self.assignments = Assignments(
            clock=self.clock,
            tokens=self.tokens,
            jobs=self.jobs,
            registry=self.registry,
            workers=self.workers,
            datasets=self.datasets,
            checkpoints=self.checkpoints,
            counters=self.counters,
            is_watched=self.following.is_watched,
        )
        self.heartbeats = Heartbeats(
            registry=self.registry,
            workers=self.workers,
            leases=self.leases,
            telemetry=self.telemetry,
            assignments=self.assignments,
            inquiries=self.inquiries,
            recorder=self.recorder,
            leads=lambda: self.leading is None or self.leading.proven,
        )
        self.allocators = {
            engine.name: Allocator(
                engine,
                timeout_seconds=self.settings.allocation_timeout_seconds,
                clock=self.clock,
                tokens=self.tokens,
                jobs=self.jobs,
                queue=self.queue,
                workers=self.workers,
            )
            for engine in self.backends.engines.values()
            if isinstance(engine, AllocatingEngine)
        }
        self.worker_connections = WorkerConnections(
            broker=self.backends.embedded,
            senders=self.senders,
            recorder=self.recorder,
            workers=self.workers,
            running=lambda: self.running,
        )

    def _wire_callers(self) -> None:
        """Whose tokens hold."""
        self.callers = Callers(
            tokens=self.tokens,
            directory=self.directory,
            access_tokens=self.access_tokens,
            sessions=self.sessions,
            signer=self.signer,
            workers=self.workers,
            jobs=self.jobs,
            clock=self.clock,
        )
        self.logins = Logins(
            links=self.links,
            sessions=self.sessions,
            callers=self.callers,
            directory=self.directory,
            tokens=self.tokens,
            invitations=self.invitations,
            passwords=self.passwords,
            limits=self.login_limits,
            signer=self.signer,
        )
        self.credentials = Credentials(
            home=self.home,
            callers=self.callers,
            directory=self.directory,
            access_tokens=self.access_tokens,
            registry=self.registry,
            jobs=self.jobs,
            clock=self.clock,
        )

    def _wire_submission(self) -> None:
        """What users do with jobs, and explanations of what jobs wait for."""
        self.explanations = Explanations(
            jobs=self.jobs,
            queue=self.queue,
            workers=self.workers,
            telemetry=self.telemetry,
            registry=self.registry,
            allocators=self.allocators,
        )
        self.rows = Rows(self.explanations, self.telemetry, self.curves, self.directory)
        self.job_control = JobControl(
            database=self.backends.database,
            jobs=self.jobs,
            checkpoints=self.checkpoints,
            artifacts=self.artifacts,
            damaged=self.damaged,
            rows=self.rows,
            clock=self.clock,
        )
        self.submission = Submission(
            engines=self.backends.engines,
            default_engine=self.settings.default_engine,
            jobs=self.jobs,
            specs=self.specs,
            checkpoints=self.checkpoints,
            explanations=self.explanations,
            clock=self.clock,
        )

    def _wire_loops(self) -> None:
        """The parts that act by themselves, besides the recorder."""
        database = self.backends.database
        self.quarantine = Quarantine(self.clock, self.registry, self.counters)
        self.scheduler = Scheduler(
            settings=self.settings,
            clock=self.clock,
            database=database,
            jobs=self.jobs,
            queue=self.queue,
            workers=self.workers,
            leases=self.leases,
            recorder=self.recorder,
            quarantine=self.quarantine,
        )
        sinks = [RowSink(database)]
        self.relay = Relay(self.jobs, self.backends.wakeups, self.watchers, self.counters, sinks)
        self.housekeeping = Housekeeping(
            settings=self.settings,
            database=database,
            jobs=self.jobs,
            artifacts=self.artifacts,
            snapshots=self.snapshots,
            blocks=self.blocks,
            checkpoints=self.checkpoints,
            clock=self.clock,
        )
