"""The drill: fault-injection tests with real training on a temporary local fleet."""
