"""The application: one casebook's page and API, put together.

WholeNames, Counted, SizeLimit (bounds) > Gate (gate) > routes: api, pages, sessions, health
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.formparsers import MultiPartParser
from starlette.staticfiles import StaticFiles

from dermtwin import __version__
from dermtwin.web import api, health, pages, problems, sessions
from dermtwin.web.bounds import Counted, SizeLimit, WholeNames
from dermtwin.web.gate import Gate, refuse_undeclared
from dermtwin.web.service import Service
from dermtwin.web.settings import ServerSettings

STATIC = Path(__file__).with_name("static")

_DESCRIPTION = (
    "Finds, for a picture of a skin lesion, the most similar diagnosed cases. For research and "
    "teaching; it never states a diagnosis."
)


def create_app(
    casebook: str | Path,
    *,
    settings: ServerSettings = ServerSettings(),  # noqa: B008 - frozen
) -> FastAPI:
    """The page and the API of one casebook.

    Args:
        casebook: its folder or PostgreSQL URL.
        settings: the server's bounds.

    Raises:
        CasebookError: there is no casebook, or it cannot be read.
    """
    service = Service(casebook, settings=settings)
    # An upload within the limit stays in memory: no picture reaches a disk that nobody wipes.
    MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, 2 * settings.upload_bytes)
    app = FastAPI(
        title="dermtwin",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # they would load scripts from another host
        redoc_url=None,
        lifespan=_closing,
        responses=api.PROBLEMS,
    )
    app.state.service = service
    for router in (api.router, health.router, sessions.router, pages.router):
        app.include_router(router)
    if settings.openid is not None:
        from dermtwin.web import openid  # noqa: PLC0415 - an extra

        openid.install(app, settings.openid)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    problems.install(app)
    refuse_undeclared(app)
    # Added last is outermost.
    app.add_middleware(Gate, service=service)
    app.add_middleware(SizeLimit, upload_bytes=settings.upload_bytes)
    app.add_middleware(Counted, service=service)
    app.add_middleware(WholeNames)
    return app


@asynccontextmanager
async def _closing(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.service.close()
