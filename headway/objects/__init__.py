"""Where bytes are kept: artifacts, models, dataset blocks."""
