"""A server asked instead of a casebook: `dermtwin find --server URL`, the API's first client."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from dermtwin.consultation import FoundCase
from dermtwin.errors import DermtwinError, SettingsError
from dermtwin.vocabulary import DRAWN_NOTICE, FIELDS, Case, Hit

_WAIT_S = 60
_MOST_BYTES = 64 * 2**20
_SEARCH = "/api/v1/search"
_HERE = ("127.0.0.1", "::1", "localhost")


class ServerError(DermtwinError):
    """A server that cannot be reached, or that refuses."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """A server's answer, to be shown as one's own casebook's.

    Attributes:
        content: the answer as it came.
    """

    content: Mapping[str, Any]

    @property
    def query(self) -> str:
        """What the picture was called."""
        return str(self.content["query"])

    @property
    def hits(self) -> tuple[FoundCase, ...]:
        """The nearest cases, as far as one may see them."""
        return tuple(map(_found, self.content["hits"]))

    @property
    def is_drawn(self) -> bool:
        """Whether any hit was generated."""
        return any(each.get("notice") == DRAWN_NOTICE for each in self.content["hits"])

    def to_json(self) -> dict[str, Any]:
        """The answer as it came."""
        return dict(self.content)

    def summary(self) -> tuple[str, ...]:
        """What a table of the hits leaves unsaid, in sentences."""
        reasons = [str(each["text"]) for each in self.content["trust"]["reasons"]]
        lines = [
            *(each for each in self.content["remarks"] if each not in reasons),
            *reasons,
            *(_together(self.content["neighbours"]) if self.content["hits"] else ()),
            f"Eligible: {self.content['eligible']:,} cases.",
        ]
        return tuple(lines)


def ask_server(
    server: str,
    data: bytes,
    *,
    name: str,
    token: str | None = None,
    fields: Iterable[tuple[str, str]] = (),
) -> ServerAnswer:
    """Send a picture to a server, and take its answer.

    Args:
        server: where it is, for example `https://cases.example.org`.
        data: the image file's bytes.
        name: the file's name.
        token: by which it knows who asks; None: it needs none.
        fields: further fields of the form, as docs/api.md lists them.

    Raises:
        SettingsError: the address is none, or would send the token in the clear.
        ServerError: the server cannot be reached, or refuses; its own sentence is told.
    """
    body, kind = _form(data, name=name, fields=fields)
    headers = {"Content-Type": kind, "Accept": "application/json"}
    if token is not None:
        if not (token.isascii() and token.isprintable()):
            raise SettingsError("the token holds letters that no token has; copy it again.")
        headers["Authorization"] = f"Bearer {token}"
    address = _address(server, is_secret=token is not None)
    request = Request(address, body, headers)  # noqa: S310 - http or https, see `_address`
    try:
        with _opener(address).open(request, timeout=_WAIT_S) as answer:
            return _read(answer.read(_MOST_BYTES), server=server)
    except HTTPError as error:
        raise ServerError(f"{server} refuses: {_sentence(error)}") from error
    except (URLError, HTTPException, OSError) as error:
        reason = str(getattr(error, "reason", error)).rstrip(".")
        raise ServerError(
            f"{server} cannot be reached: {reason}; check the address, and that it runs."
        ) from error


def _opener(address: str) -> OpenerDirector:
    if urlsplit(address).hostname in _HERE:
        # A proxy would take elsewhere what never leaves this machine.
        return build_opener(_NoRedirects, ProxyHandler({}))
    return build_opener(_NoRedirects)


class _NoRedirects(HTTPRedirectHandler):
    """A picture and a token go where they were sent, nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing."""


def _together(neighbours: Mapping[str, Any]) -> tuple[str, ...]:
    """As `Answer.summary` says it."""
    said = neighbours["malignant"]
    if said.get("foregone"):
        return (f"{said['text']}.",)
    share, low, high = (float(said[name]) for name in ("share_weighted", "low", "high"))
    doubt = "" if neighbours["calibrated"] else "; not calibrated for such a question"
    return (
        f"{said['text']}.",
        (
            f"Weighted by closeness: {share:.0%} malignant (95 % interval {low:.0%} to "
            f"{high:.0%}{doubt})."
        ),
    )


def _address(server: str, *, is_secret: bool) -> str:
    try:
        parts = urlsplit(server)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna")
        is_known = parts.scheme in ("http", "https") and server.isascii()
        is_one = is_known and bool(host) and not parts.query
    except ValueError:  # of a port beyond all, or a name with a part that is empty or too long
        is_one = False
    if not is_one:
        raise SettingsError(f"{server!r} is no server's address; write https://HOST[:PORT].")
    if is_secret and parts.scheme == "http" and parts.hostname not in _HERE:
        raise SettingsError(
            f"{server} would be sent the token in the clear, for all on the way to read; write "
            "https:// instead."
        )
    return server.rstrip("/") + _SEARCH


def _form(data: bytes, *, name: str, fields: Iterable[tuple[str, str]]) -> tuple[bytes, str]:
    """A body of the kind multipart/form-data (RFC 7578), and its media type."""
    boundary = secrets.token_hex(16)
    lines: list[bytes] = []
    for field, value in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'
        lines.append(head.encode() + value.encode() + b"\r\n")
    shown = "".join(each if each.isprintable() and each not in '"\\' else "_" for each in name)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{shown}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    lines += [head.encode(), data, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(lines), f"multipart/form-data; boundary={boundary}"


def _read(text: bytes, *, server: str) -> ServerAnswer:
    try:
        answer = ServerAnswer(json.loads(text))
        # Looked at once, so that nothing is missing when it is shown.
        answer.summary(), answer.hits, answer.query
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerError(
            f"{server} answers, but not as dermtwin's API does; check the address."
        ) from error
    return answer


def _sentence(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MOST_BYTES))["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"it says {error.code} {error.reason}."


def _found(hit: Mapping[str, Any]) -> FoundCase:
    case = Case(
        **{name: hit.get(name) for name in FIELDS},  # type: ignore[arg-type]
        extra={"image_manipulation": "synthetic"} if hit.get("notice") == DRAWN_NOTICE else {},
    )
    placed = Hit(
        int(hit["rank"]), case.isic_id, case.lesion_id, float(hit["distance"]), hit.get("hamming")
    )
    return FoundCase(placed, case)
