"""Benchmarks against stable yardsticks; run by hand, and in a quick form by CI."""
