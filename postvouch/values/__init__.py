"""The values that every room speaks. Frozen dataclasses over the standard library; nothing here does I/O."""
