"""OpenCLIP ViT-bigG, text."""

from .clip import clip

TREE = clip("clip-g", width=1280, layers=32, projection=True)
