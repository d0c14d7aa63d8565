"""Envelopes of reports for brokers that others can write to: each names its sender and has the sender's signature."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from headway.errors import Corrupt

_SIGNATURE_BYTES = 32


def report_key(secret: str, worker: str) -> str:
    """The key of one start of a worker, derived from the installation's secret. It signs only that worker's reports."""
    return hmac.new(secret.encode(), f"headway.report.1:{worker}".encode(), hashlib.sha256).hexdigest()


def seal(body: bytes, worker: str, key: str) -> bytes:
    """The report with its sender and signature (HMAC-SHA256, RFC 2104)."""
    sender = worker.encode()
    return bytes([len(sender)]) + sender + _signature(body, key) + body


def unseal(envelope: bytes, key_of: Callable[[str], str]) -> tuple[str, bytes]:
    """The sender and the report. Raises Corrupt unless the sender's own key signed it."""
    try:
        length = envelope[0]
        sender, rest = envelope[1 : length + 1].decode(), envelope[length + 1 :]
    except (IndexError, UnicodeDecodeError) as error:
        raise Corrupt(f"A message of {len(envelope)} bytes is not a report.") from error
    signature, body = rest[:_SIGNATURE_BYTES], rest[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(body, key_of(sender))):
        raise Corrupt(f"A report in the name of worker {sender!r} does not have its signature.")
    return sender, body


def _signature(body: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), body, hashlib.sha256).digest()
