"""Learner workers: the ranks of one DeepSpeed engine that turn scored groups into new weights."""

from actors.learner.placement import learner_env, learner_options
from actors.learner.stats import DivergedError, GroupStats, LogprobGap, StepStats
from actors.learner.worker import LearnerWorker

__all__ = ["DivergedError", "GroupStats", "LearnerWorker", "LogprobGap", "StepStats", "learner_env", "learner_options"]
