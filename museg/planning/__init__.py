"""What a run costs before it starts: operations, memory, time and money of a step, counted from the model's shape."""
