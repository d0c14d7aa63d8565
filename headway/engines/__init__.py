"""Engines: the sources of workers."""
