"""The signal that makes a rank write its stacks."""

from __future__ import annotations

import signal
import sys

STACKS_SIGNAL = signal.SIGRTMIN + 8 if sys.platform == "linux" else signal.SIGUSR2
"""A signal that scripts rarely use themselves."""
