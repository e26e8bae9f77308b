"""The configuration's keys: one dataclass a room, one default and one sentence a knob."""
