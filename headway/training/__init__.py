"""Inside a rank, and the processes that start it: the only part that imports torch."""
