"""Frozen results as text and JSON."""
