"""Reward workers: decode videos and score completions; all of them as one."""
