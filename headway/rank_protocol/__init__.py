"""The border between a worker and the ranks it runs: what both sides have to know alike.

A rank may run in an environment of its own, so nothing here needs more than the standard library.
"""
