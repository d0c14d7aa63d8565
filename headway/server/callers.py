"""Finds the caller of a token, and checks that the token is still valid."""

from __future__ import annotations

from headway.errors import TokenExpired
from headway.server.access import Caller, CallerKind
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs
from headway.server.services.workers import Workers
from headway.server.tokens import Tokens

_REMEMBERED = 1_000


class Callers:
    """A worker's token is valid as long as its registration, a rank's as long as its attempt, others until they expire.

    `without_id`: the callers that used a token without an id since this server started, and when they used it last.
    """

    def __init__(self, tokens: Tokens, workers: Workers, jobs: Jobs, clock: Clock) -> None:
        self._tokens = tokens
        self._workers = workers
        self._jobs = jobs
        self._clock = clock
        self.without_id: dict[Caller, float] = {}

    def of(self, token: str) -> Caller:
        """The caller that the token belongs to. Raises NotAuthenticated, TokenExpired, WorkerLost."""
        caller = self._tokens.caller(token)
        if caller.worker is not None:
            self._workers.check_ready(caller.worker)
        if caller.kind is CallerKind.RANK:
            self._check_attempt(caller)
        if not caller.credential and (caller in self.without_id or len(self.without_id) < _REMEMBERED):
            self.without_id[caller] = self._clock.now()
        return caller

    def _check_attempt(self, caller: Caller) -> None:
        job = self._jobs.unsettled.find(caller.job or "")
        attempt = job.attempt if job is not None else None
        if attempt is None or attempt.number != caller.attempt or attempt.ended_at is not None:
            raise TokenExpired(
                f"This token was for attempt {caller.attempt} of job {caller.job}, and expired with it: the attempt "
                "has ended, or is not the current one. Ranks of a new attempt get a new token."
            )
