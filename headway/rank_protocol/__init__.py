"""The interface between a worker and the ranks that it runs: definitions that both sides share.

A rank may run in its own environment, so everything here uses only the standard library.
"""
