"""From prompts to scored groups: videos, prompts, sampling, and the order in which groups are learned from."""
