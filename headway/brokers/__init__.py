"""What carries wake-ups to workers and reports to the server. It may lose, repeat, delay or reorder anything."""
