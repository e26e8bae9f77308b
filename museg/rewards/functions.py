"""Reward functions of the user's own, by import path."""

from __future__ import annotations

import difflib
import importlib
import math
import numbers
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from museg.data.samples import Sample
from museg.errors import ConfigError, RewardError
from museg.rewards.answers import ParsedAnswer
from museg.video.clip import ClipFacts

RewardFunction = Callable[[ParsedAnswer, Sample, ClipFacts | None], float]
"""What `reward.functions` may name as `package.module:function`."""

_PATH = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


class NotFiniteError(RewardError):
    """A reward function of the user's that returned infinity or NaN."""

    def __init__(self, message: str, value: float = math.nan) -> None:
        super().__init__(message)
        self.value = value


@dataclass(frozen=True, slots=True, kw_only=True)
class UserReward:
    """A reward function and what it is called by."""

    path: str
    """As `reward.functions` names it."""
    name: str
    """The function's own name, under which its values appear."""
    function: RewardFunction

    def value(self, answer: ParsedAnswer, sample: Sample, clip: ClipFacts | None) -> float:
        """The function's value.

        Raises:
            RewardError: it raised, or returned something that isn't a number, or NotFiniteError if not a finite one.
        """
        where = f"reward function {self.path} on sample {sample.idx} ({sample.video})"
        try:
            value = self.function(answer, sample, clip)
        except Exception as error:
            raise RewardError(f"{where} raised {type(error).__name__}: {error}") from error
        if not isinstance(value, numbers.Real):
            raise RewardError(f"{where} returned {value!r}, which isn't a finite number")
        if not math.isfinite(value):
            raise NotFiniteError(f"{where} returned {value!r}, which isn't a finite number", float(value))
        return float(value)


def load_user_reward(path: str) -> UserReward:
    """Import `package.module:function`; modules in the current directory are found, as `python -m` finds them.

    Raises:
        ConfigError: the path is malformed, its module can't be imported, or what it names isn't there or no function.
    """
    parts = _PATH.fullmatch(path)
    if parts is None:
        raise ConfigError(f"reward.functions names {path!r}, which isn't of the form package.module:function")
    module_name, name = parts.groups()
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            f"reward.functions names {path!r}, but importing {module_name} raised {type(error).__name__}: {error}: "
            "it must be installed, or lie in the current directory"
        ) from error
    function = getattr(module, name, None)
    if function is None:
        nearest = difflib.get_close_matches(name, vars(module), n=1)
        hint = f": did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(f"reward.functions names {path!r}, but {module.__file__} has no {name!r}{hint}")
    if not callable(function):
        raise ConfigError(
            f"reward.functions names {path!r}, which is of type {type(function).__name__}: name a function of "
            "(answer, sample, clip) that returns a number"
        )
    return UserReward(path=path, name=name, function=function)
