"""No deadlines: an exact oracle takes its time, and a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("exact", deadline=None)
settings.load_profile("exact")
