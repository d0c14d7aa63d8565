"""The database is the truth: jobs, attempts, events, workers, datasets, and the stored reports of the streams."""
