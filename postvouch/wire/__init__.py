"""Protocols as functions on bytes (sans-IO): feed what came in, get what it means; no socket here."""
