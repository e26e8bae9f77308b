"""The tiny Qwen2.5-VL that the quickstart trains, and its warm start."""

from museg.tiny_model.architecture import build_tiny_model

__all__ = ["build_tiny_model"]
