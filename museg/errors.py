"""Errors that a user can mend. The command line prints their one line and exits with code 2."""

from __future__ import annotations


class UserError(Exception):
    """What is wrong, where, and how to mend it, in one line."""


class ConfigError(UserError):
    """A configuration key, value or combination that can't be run."""


class DataError(UserError):
    """A sample file that is missing, malformed or empty."""


class RewardError(UserError):
    """A reward function of the user's that raised, or returned something that isn't a finite number."""


class VideoError(UserError):
    """A video that can't be found, opened or decoded."""


class ModelError(UserError):
    """A model folder that isn't one, or a prompt that the model can't hold."""


class CheckpointError(UserError):
    """A checkpoint that is torn or was changed, or that can't be written."""


class FaultError(UserError):
    """Infrastructure failed more often than the run may get over; submitted again, it goes on."""


class StateLostError(FaultError):
    """What steps are redone from was lost with its node: the run can only go on after its newest checkpoint."""
