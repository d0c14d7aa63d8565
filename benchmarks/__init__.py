"""Measurements of Headway and its alternatives. Each prints one JSON document with `ratio_<alternative>`."""
