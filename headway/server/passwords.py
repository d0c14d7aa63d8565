"""Passwords of users: hashed with Argon2id by a few threads, so that logins delay no other request."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from headway.errors import InvalidInput, Overloaded

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 200
_WAITING = 400
"""How many logins wait at most; one takes about 40 ms of a core."""
_NICENESS = 10
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
"""As OWASP's Password Storage Cheat Sheet has it: 19 MiB, 2 passes."""
_Result = TypeVar("_Result")


class Passwords:
    """Hashes and compares passwords. Without a stored hash, a comparison takes as long as with a wrong one."""

    def __init__(self) -> None:
        threads = max(1, (os.cpu_count() or 1) // 2)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password", initializer=_give_way)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash of a new password. Raises InvalidInput if it is too short or too long, and Overloaded."""
        text = _same(password)
        if not LEAST_CHARACTERS <= len(text) <= MOST_CHARACTERS:
            raise InvalidInput(f"A password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters, of any kind.")
        return await self._in_pool(partial(_HASHER.hash, text))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether `stored` is the hash of this password. None: there is no password. Raises Overloaded."""
        same = await self._in_pool(partial(_verify, _same(password), stored))
        return same and stored is not None

    async def _in_pool(self, work: Callable[[], _Result]) -> _Result:
        if self._waiting >= _WAITING:
            raise Overloaded("Too many logins at once. Try again in some seconds.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


@cache
def _hash_of_none() -> str:
    return _HASHER.hash("no password")


def _verify(password: str, stored: str | None) -> bool:
    try:
        return _HASHER.verify(stored if stored is not None else _hash_of_none(), password)
    except (VerificationError, InvalidHashError):
        return False


def _same(password: str) -> str:
    """The text in one Unicode form: keyboards produce several for the same password."""
    return unicodedata.normalize("NFKC", password)


def _give_way() -> None:
    """Lower the priority of this thread below all others."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
