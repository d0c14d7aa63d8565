"""Pure rules: no I/O, no clock, only the standard library and pydantic."""
