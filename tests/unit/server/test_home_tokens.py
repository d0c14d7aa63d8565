"""The tokens in a home are created once, renewed in time, and replaced for another secret."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from headway.errors import NotAuthenticated, TokenExpired
from headway.server.access import Caller, CallerKind
from headway.server.home_tokens import HomeTokens
from headway.server.tokens import Tokens

DAY_SECONDS = 86_400.0


class Time:
    def __init__(self) -> None:
        self.seconds = 1_000_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


def test_the_tokens_of_a_home_do_not_change(tmp_path: Path, time: Time) -> None:
    home = HomeTokens(tmp_path, time)
    texts = [(tmp_path / name).read_text() for name in ("user.token", "worker.token")]
    time.seconds += 10_000 * DAY_SECONDS
    again = HomeTokens(tmp_path, time)
    assert [(tmp_path / name).read_text() for name in ("user.token", "worker.token")] == texts
    assert [token.caller.kind for token in again.present()] == [CallerKind.USER, CallerKind.JOIN]
    assert again.present() == home.present()
    assert len({token.caller.credential for token in again.present()}) == 2
    assert again.tokens.caller(texts[0].strip()).kind is CallerKind.USER


def test_with_a_lifetime_they_are_renewed_before_it_is_over(tmp_path: Path, time: Time) -> None:
    """Given tokens that are valid for ten days, then there is a new one after five, and the old one is valid until its
    end.
    """
    home = HomeTokens(tmp_path, time, token_days=10)
    first = (tmp_path / "user.token").read_text().strip()
    time.seconds += 4.9 * DAY_SECONDS
    home.renew()
    assert (tmp_path / "user.token").read_text().strip() == first
    time.seconds += 0.2 * DAY_SECONDS
    home.renew()
    second = (tmp_path / "user.token").read_text().strip()
    assert second != first
    assert home.tokens.caller(first).kind is home.tokens.caller(second).kind is CallerKind.USER
    time.seconds += 5 * DAY_SECONDS
    assert home.tokens.caller(second).kind is CallerKind.USER
    with pytest.raises(TokenExpired, match=r"This user token \(t-[^)]+\) expired on 2001-09-19"):
        home.tokens.caller(first)
    assert stat.S_IMODE((tmp_path / "user.token").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "user.token", "worker.token"}


def test_a_lifetime_that_is_set_later_holds_for_the_home_at_the_next_start(tmp_path: Path, time: Time) -> None:
    HomeTokens(tmp_path, time)
    assert all(one.expires_at == time() + DAY_SECONDS for one in HomeTokens(tmp_path, time, token_days=1).present())
    unset = HomeTokens(tmp_path, time)
    assert all(one.expires_at is not None for one in unset.present()), "they are renewed before they expire"
    time.seconds += 2 * DAY_SECONDS
    assert all(one.expires_at is None for one in HomeTokens(tmp_path, time).present())


def test_another_secret_makes_other_tokens(tmp_path: Path, time: Time) -> None:
    home = HomeTokens(tmp_path, time)
    former = (tmp_path / "user.token").read_text().strip()
    home.adopt("of the others")
    with pytest.raises(NotAuthenticated):
        home.tokens.caller(former)
    assert home.tokens.caller((tmp_path / "user.token").read_text().strip()).kind is CallerKind.USER
    assert HomeTokens(tmp_path, time).tokens.secret == "of the others"


def test_a_file_that_is_not_a_token_is_left_alone(tmp_path: Path, time: Time) -> None:
    HomeTokens(tmp_path, time)
    (tmp_path / "user.token").write_text("of another installation\n")
    assert [one.caller.kind for one in HomeTokens(tmp_path, time, token_days=1).present()] == [CallerKind.JOIN]
    assert (tmp_path / "user.token").read_text() == "of another installation\n"


@pytest.mark.parametrize("changed", ["", "hw_", "hw_x.y", "hw_{payload}.{signature}x", "hw_x{payload}.{signature}"])
def test_only_what_was_signed_is_read(time: Time, changed: str) -> None:
    tokens = Tokens("secret", time)
    payload, _, signature = tokens.make(Caller(CallerKind.USER)).removeprefix("hw_").rpartition(".")
    with pytest.raises(NotAuthenticated):
        tokens.caller(changed.format(payload=payload, signature=signature))
    assert tokens.caller(f"hw_{payload}.{signature}").kind is CallerKind.USER
    with pytest.raises(NotAuthenticated):
        Tokens("another", time).caller(f"hw_{payload}.{signature}")
