"""Workers that die or hang: noticed, counted, replaced."""
