"""OpenCLIP ViT-H, text, as diffusers and kohya use it (23 layers)."""

from .clip import clip

TREE = clip("openclip-h", width=1024, layers=23)
