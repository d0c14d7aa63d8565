"""Caches. Losing their contents at any time costs only speed."""
