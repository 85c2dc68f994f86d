"""The sender rewriting scheme, byte-compatible with postsrsd."""
