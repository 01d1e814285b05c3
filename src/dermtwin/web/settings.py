"""What a server is told when it starts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Bounds of one server; each worker process has its own copy.

    Attributes:
        upload_bytes: an image file may have so many bytes.
        upload_pixels: and so many pixels.
        session_hours: a sign-in lasts so long.
        per_second: requests a second that one person from one address may make of one worker,
            on the average.
        at_once: requests that they may make at once after a rest.
        sign_ins_a_minute: tries to sign in that one address may make of one worker.
        stays_here: the server is reached from this machine alone; whoever is at it may do
            everything while there is no user.
    """

    upload_bytes: int = 32 * 2**20
    upload_pixels: int = 40_000_000
    session_hours: float = 12
    per_second: float = 100
    at_once: int = 300
    sign_ins_a_minute: float = 20
    stays_here: bool = True
