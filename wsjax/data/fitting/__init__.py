"""Thousands of small networks fitted to signals, many at once."""
