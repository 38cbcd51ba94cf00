"""Bytes on disk: safetensors headers, lazy reading, atomic writing, digests."""
