"""The drill: a throw-away fleet on this machine, real training, and everything that can be made to fail."""
