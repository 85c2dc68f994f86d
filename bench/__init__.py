"""How fast we are, beside others, on the same machine at the same time."""
