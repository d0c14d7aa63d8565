"""API, scheduler and recorder in one process. It never imports torch and never runs user code."""
