"""The built-in models, one short file each."""
