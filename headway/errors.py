"""All errors of Headway in one tree. Each class has a stable code and an HTTP status, and is retryable or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class HeadwayError(Exception):
    """The base of all errors. The message names the subject, the problem and the solution."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(HeadwayError):
    """Raised when a request, a spec or an option has a value that is not allowed."""

    code = "invalid_input"
    status = 422

    @property
    def fields(self) -> tuple[str, ...]:
        """The paths of the wrong fields, such as `parameters.epochs`, if the server named them."""
        return tuple(self.details.get("fields", ()))


class DatasetMissing(InvalidInput):
    """Raised when a request needs a built-in dataset whose files this installation does not have."""

    code = "dataset_missing"


class SettingInvalid(HeadwayError):
    """Raised when a setting is unknown, has a bad value, or names a backend that is wrong or cannot be reached."""

    code = "setting_invalid"


class NotAuthenticated(HeadwayError):
    """Raised when a request has no token, or one that this installation did not sign."""

    code = "not_authenticated"
    status = 401


class TooManyRequests(HeadwayError):
    """Raised for a login after too many wrong passwords, whether or not there is such a user."""

    code = "too_many_requests"
    status = 429


class TokenExpired(NotAuthenticated):
    """Raised when a request has a token of this installation that is no longer valid."""

    code = "token_expired"


class NotAllowed(HeadwayError):
    """Raised when the caller is known but may not do this to this object."""

    code = "not_allowed"
    status = 403


class NotFound(HeadwayError):
    """Raised when the named object does not exist, or does not exist any more."""

    code = "not_found"
    status = 404


class Damaged(NotFound):
    """Raised when the named object's row is stored but cannot be read. It can be deleted."""

    code = "damaged"
    status = 409


class Conflict(HeadwayError):
    """Raised when the object's current state does not allow the request."""

    code = "conflict"
    status = 409


class NameTaken(Conflict):
    """Raised when another job of the project already has the name."""

    code = "name_taken"


class IdempotencyKeyReused(Conflict):
    """Raised when the idempotency key was already used with another body."""

    code = "idempotency_key_reused"


class ClaimRefused(Conflict):
    """Raised when a worker claims an assignment that is stopping, released, or of another attempt."""

    code = "claim_refused"


class SeatTaken(Conflict):
    """Raised when a worker registers for a seat that has a newer worker, or that its allocation does not have."""

    code = "seat_taken"


class AllocationReleased(HeadwayError):
    """Raised when a worker registers for an allocation that was given back. The worker ends."""

    code = "allocation_released"
    status = 410


class WorkerLost(HeadwayError):
    """Raised for a request of a worker that the server declared lost. The worker ends its ranks and registers again."""

    code = "worker_lost"
    status = 410


class TooLarge(HeadwayError):
    """Raised when a body or a file is larger than its limit."""

    code = "too_large"
    status = 413


class RangeInvalid(HeadwayError):
    """Raised when a Range header asks for bytes that the file does not have."""

    code = "range_invalid"
    status = 416


class Corrupt(HeadwayError):
    """Raised when stored or received bytes do not match their hash or format."""

    code = "corrupt"


class InputUnusable(Corrupt):
    """Raised when a job's input matches its hash but cannot be used, because it was packed wrongly."""

    code = "input_unusable"
    status = 422


class CheckpointCorrupt(Corrupt):
    """Raised when a part of a checkpoint is missing or does not match its hash."""

    code = "checkpoint_corrupt"


class Unavailable(HeadwayError):
    """Raised when a server or backend does not answer. The same request may succeed later."""

    code = "unavailable"
    status = 503
    retryable = True


class Overloaded(Unavailable):
    """Raised for too many simultaneous reads. Writes, heartbeats and claims continue. Retry the request soon."""

    code = "overloaded"


class AnswerUnreadable(HeadwayError):
    """Raised by a worker or client that is older than the server and cannot read the server's answer."""

    code = "answer_unreadable"
    status = 502


class EnvironmentFailed(HeadwayError):
    """Raised when a job's environment cannot be built or used."""

    code = "environment_failed"
    status = 422


class JobEnded(HeadwayError):
    """Raised by `Client.wait` when the job ended as failed or cancelled."""

    code = "job_ended"
    status = 409


class CannotStartRanks(HeadwayError):
    """Raised when a worker cannot start any ranks: its forkserver ends, or its disk is full."""

    code = "cannot_start_ranks"
    status = 503
    retryable = True


class WorkerOutdated(CannotStartRanks):
    """Raised when another Headway was installed over that of a running worker. Restart the worker."""

    code = "worker_outdated"


def error_from_problem(status: int, problem: Mapping[str, Any]) -> HeadwayError:
    """The error in a server's RFC 9457 problem."""
    code = str(problem.get("code", ""))
    message = str(problem.get("detail") or f"The server answered with status {status}.")
    known = {one.code: one for one in _descendants(HeadwayError)}
    if code in known:
        return known[code](message, fields=[one["at"] for one in problem.get("errors") or ()])
    without_body = {401: NotAuthenticated, 403: NotAllowed, 404: NotFound}  # as answers to HEAD are
    return without_body.get(status, Unavailable if status >= 500 else HeadwayError)(message)


def error_from_answer(status: int, body: bytes) -> HeadwayError:
    """The error of an HTTP answer, even if its body is not a problem document."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    return error_from_problem(status, problem if isinstance(problem, dict) else {})


def _descendants(parent: type[HeadwayError]) -> Iterator[type[HeadwayError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _descendants(child)
