"""Brokers carry wake-ups to workers and reports to the server. They may lose, repeat, delay or reorder messages."""
