"""Examples of property tests have no time limit: how long one takes depends on what else the machine does."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("headway", deadline=None)
settings.load_profile("headway")
