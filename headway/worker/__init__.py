"""The daemon on one machine: it claims assignments, launches ranks, and reports for them. It runs no user code."""
