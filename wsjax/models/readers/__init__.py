"""Readers and editors, one file each."""
