"""The trace of a run, openings of its parts, and the proof of one wrong element."""
