"""loratool: inspect, validate, resize, merge and convert LoRA adapter files."""

__version__ = "0.1.0"
