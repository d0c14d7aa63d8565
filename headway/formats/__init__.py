"""Bytes at rest and on the wire: reports, blocks, dataset files, snapshots, metric patterns."""
