"""What `museg bench` measures: two or more ways of the same work, side by side in one process."""
