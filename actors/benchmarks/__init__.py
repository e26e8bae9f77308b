"""What `museg bench` measures of the running service."""
