"""Formats of stored and sent data: reports, blocks, dataset files, snapshots, metric patterns."""
