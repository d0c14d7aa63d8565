"""The event sinks. Each takes events independently of the others."""
