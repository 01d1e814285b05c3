"""What a server is told when it starts."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import urlsplit

from dermtwin.errors import MissingExtraError, SettingsError

_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIDSettings:
    """A server that is trusted to say who somebody is (OpenID Connect).

    Attributes:
        issuer: its address, as it names itself; over TLS unless it is this machine's own.
        client: by which name it knows this server.
        secret: by which it knows it again.
        name: what the sign-in page calls it; empty: its host.
        claim: what of its ID token tells a user; `email` counts only where it is verified.

    Raises:
        SettingsError: a part is missing, or the issuer is no such address.
        MissingExtraError: the extra `oidc` is not installed.
    """

    issuer: str
    client: str
    secret: str = field(repr=False)
    name: str = ""
    claim: str = "sub"

    def __post_init__(self) -> None:
        if any(find_spec(each) is None for each in ("authlib", "httpx", "joserfc")):
            raise MissingExtraError("OpenID Connect", extra="oidc")
        for what in ("issuer", "client", "secret", "claim"):
            if not getattr(self, what):
                raise SettingsError(
                    f"OpenID Connect lacks the {what}; give issuer, client and the client's secret."
                )
        if not is_trusted_address(self.issuer):
            raise SettingsError(
                f"{self.issuer!r} cannot be an OpenID issuer; give its https:// address."
            )

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or str(urlsplit(self.issuer).hostname)


def is_trusted_address(text: object) -> bool:
    """Whether an address is one whose answers nobody on the way can have changed."""
    if not isinstance(text, str):
        return False
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in _HERE)
    return is_safe and bool(host) and text.isprintable()


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
        openid: who else may say who somebody is; None: nobody.
    """

    upload_bytes: int = 32 * 2**20
    upload_pixels: int = 40_000_000
    session_hours: float = 12
    per_second: float = 100
    at_once: int = 300
    sign_ins_a_minute: float = 20
    stays_here: bool = True
    openid: OpenIDSettings | None = None
