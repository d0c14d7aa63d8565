"""Where events of jobs go, each sink by itself."""
