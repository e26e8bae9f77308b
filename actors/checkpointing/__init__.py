"""Checkpoints on their way from the learner's memory to the disk, while the run goes on."""
