"""postvouch(1): one verb a file."""
