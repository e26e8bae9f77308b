"""How every generator gets the learner's weights after each GRPO step."""
