"""Headway's loggers for other frameworks. Each module needs its framework."""
