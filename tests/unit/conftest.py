"""Examples of property tests have no time limit: their duration depends on the load of the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("headway", deadline=None)
settings.load_profile("headway")
