"""How an error tells that its rank lost the connection to another rank, whose own end is the cause."""

PEER_ERRORS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "DistNetworkError",
    "Broken pipe",
    "NCCL error",
)
"""Parts of the messages of gloo, NCCL and torch."""
