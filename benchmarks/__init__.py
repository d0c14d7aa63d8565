"""Measurements beside the alternatives: each prints one JSON document with `ratio_<alternative>`."""
