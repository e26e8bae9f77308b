"""Supervised fine-tuning by the service: the same learner, without generators."""
