"""Where a casebook lies: a folder, or a PostgreSQL database with a folder for its files."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from dermtwin.errors import CasebookError

DATABASE = "casebook.sqlite"
_SCHEMES = ("postgresql://", "postgres://")
_SECRETS = frozenset({"password", "sslpassword"})
_FORM = "postgresql://USER@HOST/DATABASE?images=FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A casebook's place; as text it is what a person may read and type: without a password.

    Attributes:
        folder: where its image files, thumbnails and encoders lie.
        url: its PostgreSQL database, password and all; None: SQLite, in the folder.
    """

    folder: Path
    url: URL | None = field(default=None, repr=False)

    @classmethod
    def of(cls, given: "str | Path | Location") -> "Location":
        """The place that `--casebook` names.

        Raises:
            CasebookError: a URL that is none, or that names no folder of images.
        """
        if isinstance(given, Location):
            return given
        text = str(given)
        if text.startswith(_SCHEMES):
            return cls._of_url(text)
        if "://" in text:
            raise CasebookError(
                f"a casebook is a folder or {_FORM}; {text.partition('://')[0]}:// is neither."
            )
        return cls(folder=Path(text))

    @classmethod
    def _of_url(cls, text: str) -> Self:
        try:
            url = make_url(text)
        except (ArgumentError, ValueError) as error:
            raise CasebookError(f"the casebook's URL cannot be read; expected {_FORM}.") from error
        images = url.query.get("images")
        url = url.difference_update_query(["images"]).set(drivername="postgresql+psycopg")
        if not url.database:
            raise CasebookError(f"the casebook's URL names no database; expected {_FORM}.")
        if not isinstance(images, str) or not images:
            raise CasebookError(
                f"{_shown(url)} does not say where the image files lie; add ?images=FOLDER, a "
                "folder that all workers share."
            )
        return cls(folder=Path(images), url=url)

    @property
    def file(self) -> Path:
        """The record's file, of a casebook that is a folder."""
        return self.folder / DATABASE

    def __str__(self) -> str:
        if self.url is None:
            return str(self.folder)
        shown = _shown(self.url)
        return f"{shown}{'&' if '?' in shown else '?'}images={self.folder}"

    @property
    def quoted(self) -> str:
        """Its text as a shell takes it."""
        return shlex.quote(str(self))

    def without_secrets(self, text: str) -> str:
        """A text of somebody else's, such as a server's message, without the password."""
        if self.url is None:
            return text
        query = self.url.query
        secrets = [self.url.password, *(query.get(name) for name in _SECRETS)]
        for secret in secrets:
            if isinstance(secret, str) and secret:
                text = text.replace(secret, "***")
        return text


def _shown(url: URL) -> str:
    """A URL as people know it: without a password, wherever it stands."""
    plain = url.set(drivername="postgresql").difference_update_query(_SECRETS)
    # `URL.set` cannot take a password away.
    plain = URL.create(
        plain.drivername,
        username=plain.username,
        host=plain.host,
        port=plain.port,
        database=plain.database,
        query=plain.query,
    )
    return plain.render_as_string()
