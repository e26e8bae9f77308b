"""The learner as the trainer sees it: all ranks as one, and a step's learning begun while it is still sampled."""
