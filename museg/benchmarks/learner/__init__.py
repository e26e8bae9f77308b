"""`museg bench learner`: a group's forward and backward with its prompt shared, and with its prompt repeated."""
