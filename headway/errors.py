"""Every error that Headway raises: one tree, each class with a stable code, an HTTP status, and retryable or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class HeadwayError(Exception):
    """Raised when Headway cannot do what it was asked to; the message names the subject, what is so, and what to do."""

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
        """The paths of the fields that are wrong, such as `parameters.epochs`, where the server named them."""
        return tuple(self.details.get("fields", ()))


class DatasetMissing(InvalidInput):
    """Raised when a built-in dataset is asked for whose files this installation does not have."""

    code = "dataset_missing"


class SettingInvalid(HeadwayError):
    """Raised when a setting is unknown, has a bad value, or names a backend that is wrong or cannot be reached."""

    code = "setting_invalid"


class NotAuthenticated(HeadwayError):
    """Raised when a request has no token, or one that this installation did not sign."""

    code = "not_authenticated"
    status = 401


class TokenExpired(NotAuthenticated):
    """Raised when a request has a token of this installation that does not hold any more."""

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
    """Raised when the object's present state does not admit the request."""

    code = "conflict"
    status = 409


class NameTaken(Conflict):
    """Raised when another job of the project has the name."""

    code = "name_taken"


class IdempotencyKeyReused(Conflict):
    """Raised when the idempotency key was used before with another body."""

    code = "idempotency_key_reused"


class ClaimRefused(Conflict):
    """Raised when a worker claims an assignment that is stopping, released, or of another attempt."""

    code = "claim_refused"


class WorkerLost(HeadwayError):
    """Raised when a worker speaks that the server gave up; it ends its ranks and registers anew."""

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
    """Raised when what a job was given has its hash, and still cannot be used: it was packed like that."""

    code = "input_unusable"
    status = 422


class CheckpointCorrupt(Corrupt):
    """Raised when a part of a checkpoint is missing or does not match its hash."""

    code = "checkpoint_corrupt"


class Unavailable(HeadwayError):
    """Raised when a server or backend does not answer now; the same request may succeed later."""

    code = "unavailable"
    status = 503
    retryable = True


class Overloaded(Unavailable):
    """Raised when too many read at once; writes, heartbeats and claims continue. The same request may succeed soon."""

    code = "overloaded"


class AnswerUnreadable(HeadwayError):
    """Raised by a worker or client that does not know the form of a server's answer: it is older than the server."""

    code = "answer_unreadable"
    status = 502


class EnvironmentFailed(HeadwayError):
    """Raised when the environment that a job asks for cannot be built or used."""

    code = "environment_failed"
    status = 422


class JobEnded(HeadwayError):
    """Raised by `Client.wait` when the job ended as failed or cancelled."""

    code = "job_ended"
    status = 409


class CannotStartRanks(HeadwayError):
    """Raised when a worker cannot start any ranks for a reason of its own: its forkserver ends, its disk is full."""

    code = "cannot_start_ranks"
    status = 503
    retryable = True


class WorkerOutdated(CannotStartRanks):
    """Raised when another Headway was installed over that of a running worker, which has to be started again."""

    code = "worker_outdated"


def error_from_problem(status: int, problem: Mapping[str, Any]) -> HeadwayError:
    """The error that a server answered with as an RFC 9457 problem."""
    code = str(problem.get("code", ""))
    message = str(problem.get("detail") or f"The server answered with status {status}.")
    known = {one.code: one for one in _descendants(HeadwayError)}
    if code in known:
        return known[code](message, fields=[one["at"] for one in problem.get("errors") or ()])
    without_body = {401: NotAuthenticated, 403: NotAllowed, 404: NotFound}  # as answers to HEAD are
    return without_body.get(status, Unavailable if status >= 500 else HeadwayError)(message)


def error_from_answer(status: int, body: bytes) -> HeadwayError:
    """The error that an HTTP answer names, whether or not its body is a problem."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    return error_from_problem(status, problem if isinstance(problem, dict) else {})


def _descendants(parent: type[HeadwayError]) -> Iterator[type[HeadwayError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _descendants(child)
