"""What goes wrong, as it is told over HTTP: problems of RFC 9457, each with one sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from oracle.errors import (
    Busy,
    Declined,
    InferenceFailed,
    ModelError,
    NotFound,
    OracleError,
    PayloadError,
)

log = structlog.get_logger()

PROBLEM = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, as in RFC 9457."""

    title: str
    status: int
    detail: str


_PROBLEMS: Mapping[int, dict[str, Any]] = {
    status: {"description": what, "content": {PROBLEM: {"schema": Problem.model_json_schema()}}}
    for status, what in {
        400: "The body is no JSON.",
        404: "No results of the model are signed here.",
        408: "The body took too long.",
        409: "The operator does not answer on these terms.",
        413: "The body is too long.",
        422: "The body does not say what it should, or the input does not fit the model.",
        429: "Too many requests from one address.",
        500: "The answer could not be computed, or two runs of it differ.",
        503: "Not now: see Retry-After.",
    }.items()
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describes the problems that an endpoint may give, for its place in the API's description."""
    return {status: _PROBLEMS[status] for status in statuses}


READING = documented(404, 422, 429, 503)
ASKING = documented(*_PROBLEMS)


def problem(
    status: int, detail: str, title: str | None = None, again_in: int | None = None
) -> JSONResponse:
    """Makes the reply; `again_in` is seconds."""
    headers = {} if again_in is None else {"retry-after": str(again_in)}
    content = Problem(title=title or HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(content.model_dump(), status, headers, media_type=PROBLEM)


def add_handlers(app: FastAPI) -> None:
    """Has the app tell as problems whatever its endpoints raise."""

    @app.exception_handler(OracleError)
    async def expected(_: Request, error: OracleError) -> JSONResponse:
        again_in = error.again_in if isinstance(error, Busy) else None
        return problem(_status(error), str(error), type(error).__name__, again_in)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = dict.fromkeys(map(_said, error.errors()))
        return problem(422, "; ".join(list(wrong)[:5]) + ".", "Invalid")

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        reply = problem(error.status_code, str(error.detail))
        reply.headers.update(error.headers or {})
        return reply

    @app.exception_handler(Exception)
    async def unexpected(http: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", path=http.url.path, exc_info=error)
        return problem(500, "Something went wrong here; the log says what.", "Failed")


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"The body is no JSON, from byte {error['loc'][-1]} on"
    where = ".".join(str(each) for each in error["loc"][1:2])
    return f"{where or 'body'}: {error['msg'].removeprefix('Value error, ')}"


def _status(error: OracleError) -> int:
    match error:
        case NotFound():
            return 404
        case PayloadError():
            return 422
        case Busy():
            return 503
        case InferenceFailed():
            return 500
        case Declined() | ModelError():
            return 409
        case _:
            return 500
