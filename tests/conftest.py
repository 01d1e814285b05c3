"""For all rooms: no test fails for being slow; speed lives in `make bench`."""

from hypothesis import settings

settings.register_profile("dermtwin", deadline=None, print_blob=True)
settings.load_profile("dermtwin")
