"""Processes of a run are killed and stopped, and its numbers must not show it: `make chaos`, `docs/recovery.md`."""
