"""Numbers that go wrong: what a run does about them."""
