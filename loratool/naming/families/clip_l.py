"""CLIP ViT-L/14, text."""

from .clip import clip

TREE = clip("clip-l", width=768, layers=12)
