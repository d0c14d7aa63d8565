"""Limits of wrong passwords, per account and per address. They are stored, so that they outlive a change of leader."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Sequence

from headway.core.account import LoginFailures
from headway.errors import TooManyRequests
from headway.server.clock import Clock
from headway.server.directory import Directory, changed
from headway.server.tokens import Tokens

WINDOW_SECONDS = 900.0
OF_ACCOUNT_AND_ADDRESS = 10
OF_ADDRESS = 100
OF_ACCOUNT = 30
_PLACES = 4096
"""Names and addresses share this many counters of each sort, so that invented names cannot fill the database."""


class LoginLimits:
    """Each attempt counts as wrong until it is known to be right.

    An attacker who tries passwords of an account from many addresses can block only addresses from which its user has
    never logged in. Known addresses have counters of their own, and one-time links have none. So a user can always
    log in.
    """

    def __init__(self, directory: Directory, tokens: Tokens, clock: Clock) -> None:
        self._directory = directory
        self._tokens = tokens
        self._clock = clock
        self._counting = asyncio.Lock()

    async def begin(self, name: str, address: str, *, known: bool) -> None:
        """Count an attempt. `known`: the user has logged in from there. Raises TooManyRequests."""
        limits = self._limits(name, address, known=known)
        async with self._counting:
            now = self._clock.now()
            found = [(limit, self._counter(key, now)) for key, limit in limits]
            full = [counter.since + WINDOW_SECONDS - now for limit, counter in found if counter.count >= limit]
            if full:
                minutes = max(1, round(max(full) / 60))
                raise TooManyRequests(
                    f"Too many wrong passwords. Try again in {minutes} minutes, or have a one-time link made: "
                    "headway link"
                )
            for _, counter in found:
                await self._directory.put(changed(counter, count=counter.count + 1))

    async def succeed(self, name: str, address: str, *, known: bool) -> None:
        """The password was right: do not count this attempt, and forget earlier ones from this address."""
        keys = [key for key, _ in self._limits(name, address, known=known)]
        async with self._counting:
            now = self._clock.now()
            for key in keys:
                counter = self._counter(key, now)
                count = 0 if key == keys[0] else max(0, counter.count - 1)
                await self._directory.put(changed(counter, count=count))

    def _limits(self, name: str, address: str, *, known: bool) -> Sequence[tuple[str, int]]:
        """The counters of an attempt, and how many wrong ones each allows."""
        place = place_of(address)
        of_all = [
            (self._key("both", f"{name} {place}"), OF_ACCOUNT_AND_ADDRESS),
            (self._key("address", place), OF_ADDRESS),
        ]
        return of_all if known else [*of_all, (self._key("account", name), OF_ACCOUNT)]

    def _key(self, sort: str, text: str) -> str:
        key = self._tokens.secret.encode()[:64]  # names that share a counter are found only with it
        digest = hashlib.blake2b(text.encode(), key=key, digest_size=8).digest()
        return f"{sort}-{int.from_bytes(digest) % _PLACES}"

    def _counter(self, key: str, now: float) -> LoginFailures:
        found = self._directory.login_failures(key)
        if found is None:
            return LoginFailures(id=key, version=0, count=0, since=now)
        if not 0 <= now - found.since < WINDOW_SECONDS:
            return found.model_copy(update={"count": 0, "since": now})
        return found


def place_of(address: str) -> str:
    """The part of an address that is counted. For IPv6 it is the /64 network, since one customer has a whole one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
