"""Headway trains models on your own machines.

`Client` submits and follows jobs; `run()` gives a script access to its attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway.client import Client
    from headway.training.run import run

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "run"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import headway` is fast, and only ranks need the imports of `run`.
    if name == "Client":
        from headway.client import Client

        return Client
    if name == "run":
        from headway.training.run import run

        return run
    raise AttributeError(f"module 'headway' has no attribute {name!r}")
