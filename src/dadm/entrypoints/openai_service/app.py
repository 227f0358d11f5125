"""The OpenAI Service as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from dadm.domain.errors import DadmError
from dadm.entrypoints.openai_service.access import Access
from dadm.entrypoints.openai_service.backend_watch import BackendWatch
from dadm.entrypoints.openai_service.documentation import documentation_page
from dadm.entrypoints.openai_service.parts import ServiceParts
from dadm.entrypoints.openai_service.problems import (
    INTERNAL_ERROR,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_REPLY,
    HttpProblem,
    Problem,
    RequestRefused,
    problem_of_error,
    problem_of_refusal,
)
from dadm.entrypoints.openai_service.process_task import task_routes
from dadm.entrypoints.openai_service.status import about_routes, probe_routes
from dadm.entrypoints.openai_service.threads import thread_routes

DESCRIPTION = (
    "Answers the AI tasks of decision processes. Tasks of one process instance share one durable "
    "thread per assistant. Every error is a problem document (RFC 9457)."
)


def create_app(parts: ServiceParts) -> FastAPI:
    """Put the service together. It opens and closes nothing of `parts`."""
    watch = BackendWatch(parts.backend, parts.clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with watch.running():
            yield

    app = FastAPI(
        title="DADM OpenAI Service",
        version=parts.version,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={"default": PROBLEM_REPLY},
    )
    app.include_router(task_routes(parts))
    app.include_router(thread_routes(parts))
    app.include_router(probe_routes(parts, watch))
    app.include_router(about_routes(parts))
    _add_documentation(app)
    _add_problems(app, parts)
    app.add_middleware(Access, tokens=parts.tokens, scrub=parts.scrub)
    return app


def _add_documentation(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(documentation_page(app.openapi()), headers=policy)


def _add_problems(app: FastAPI, parts: ServiceParts) -> None:
    def respond(problem: Problem, request: Request) -> Response:
        return problem.response(instance=request.url.path, scrub=parts.scrub)

    def refuse(problem: HttpProblem, detail: str, request: Request) -> Response:
        return respond(problem_of_refusal(RequestRefused(problem, detail)), request)

    @app.exception_handler(DadmError)
    async def known_error(request: Request, error: DadmError) -> Response:
        return respond(problem_of_error(error), request)

    @app.exception_handler(RequestRefused)
    async def refused(request: Request, error: RequestRefused) -> Response:
        return respond(problem_of_refusal(error), request)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameters(request: Request, error: RequestValidationError) -> Response:
        said = [f"{each['loc'][-1]}: {each['msg']}." for each in error.errors()]
        return refuse(MALFORMED, " ".join(said), request)

    @app.exception_handler(HTTPException)
    async def no_such_route(request: Request, error: HTTPException) -> Response:
        response = respond(problem_of_refusal(_refusal_of(error, request)), request)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ClientDisconnect)
    async def caller_left(request: Request, error: ClientDisconnect) -> Response:
        del error
        return refuse(MALFORMED, "The body ended before it was complete.", request)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        del error
        return refuse(INTERNAL_ERROR, "The service's log says what happened.", request)


def _refusal_of(error: HTTPException, request: Request) -> RequestRefused:
    """Say what the framework found wrong before a handler was found."""
    path = request.url.path
    match error.status_code:
        case NOT_FOUND.status:
            return RequestRefused(NOT_FOUND, f"There is nothing at {path}; see /docs.")
        case METHOD_NOT_ALLOWED.status:
            detail = f"{path} does not take {request.method}."
            return RequestRefused(METHOD_NOT_ALLOWED, detail)
        case _:
            return RequestRefused(MALFORMED, str(error.detail))
