"""Object stores for artifacts, models and dataset blocks."""
