"""What every route of one server works with: casebook, consultation, sessions, templates."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Annotated

from fastapi import Depends, Request
from fastapi.templating import Jinja2Templates

from dermtwin import __version__
from dermtwin.casebook import Casebook
from dermtwin.consultation import Consultation
from dermtwin.errors import EncoderError
from dermtwin.running import usable_cores
from dermtwin.vocabulary import DRAWN_NOTICE
from dermtwin.web.looks import Looks
from dermtwin.web.metrics import Metrics
from dermtwin.web.problems import ProblemError
from dermtwin.web.sessions import Sessions
from dermtwin.web.settings import ServerSettings

TEMPLATES = Path(__file__).with_name("templates")


class Service:
    """One casebook, served; threads share it.

    Attributes:
        casebook: the casebook, open.
        settings: the server's bounds.
        sessions: who is signed in.
        looks: enters in the audit log who looked at which cases.
        metrics: what is counted.
        templates: the pages' templates.
    """

    def __init__(self, casebook: str | Path, *, settings: ServerSettings) -> None:
        """Open a casebook to serve it; raises CasebookError."""
        self.settings = settings
        self.casebook = Casebook.open(casebook)
        self.sessions = Sessions(self.casebook, hours=settings.session_hours)
        self.looks = Looks(self.casebook)
        self.metrics = Metrics()
        self.templates = Jinja2Templates(directory=TEMPLATES)
        # Starlette escapes in `.html` files alone; ours end in `.j2`.
        self.templates.env.autoescape = True
        self.templates.env.globals |= {"version": __version__, "drawn_notice": DRAWN_NOTICE}
        self._consultation: Consultation | None = None
        self._opening = Lock()
        # More pictures at once than cores would only take memory and wait for each other.
        self._encoding = BoundedSemaphore(usable_cores() + 1)

    @property
    def consultation(self) -> Consultation:
        """The casebook's encoder and gallery, opened at the first question.

        Raises:
            CasebookError: the casebook holds no case yet.
            ProblemError: its encoder cannot be used (503).
        """
        with self._opening:
            if self._consultation is None:
                try:
                    self._consultation = Consultation(self.casebook)
                except EncoderError as error:
                    told = HTTPStatus.SERVICE_UNAVAILABLE
                    raise ProblemError(str(error), status=told) from error
            return self._consultation

    def stamp(self) -> dict[str, str]:
        """The headers that name the encoder and the gallery's version, once one is open."""
        if (consultation := self._consultation) is None:
            return {}
        return {
            "Dermtwin-Encoder": consultation.encoder.id,
            "Dermtwin-Gallery-Version": str(consultation.gallery.version),
        }

    @contextmanager
    def encoding(self) -> Iterator[Consultation]:
        """The consultation, for work that decodes or encodes pictures: not all at once."""
        consultation = self.consultation
        with self._encoding:
            yield consultation

    def close(self) -> None:
        """Close the casebook."""
        self.casebook.close()


def of(request: Request) -> Service:
    """The service of the server that is asked."""
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(of)]
