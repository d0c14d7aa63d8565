"""Errors as RFC 9457 problems."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from headway.errors import HeadwayError

_log = logging.getLogger(__name__)
_MEDIA_TYPE = "application/problem+json"


def problem(status: int, code: str, detail: str, *, retryable: bool = False, **more: object) -> JSONResponse:
    """One problem; `code` is stable, `detail` is for people."""
    title = code.replace("_", " ").capitalize()
    content = {"type": f"urn:headway:problem:{code}", "title": title, "status": status, "detail": detail}
    content |= {"code": code, "retryable": retryable, **more}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status, headers=headers, media_type=_MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""

    @app.exception_handler(HeadwayError)
    async def headway_error(request: Request, error: HeadwayError) -> JSONResponse:
        if error.status >= 500:
            _log.error("%s %s: %s", request.method, request.url.path, error)
        return problem(error.status, error.code, error.message, retryable=error.retryable)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [
            {"at": ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]), "message": one["msg"]}
            for one in error.errors()
        ]
        first = problems[0]
        message = first["message"].removeprefix("Value error, ")
        return problem(422, "invalid_input", f"{first['at']}: {message}.", errors=problems)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        detail = f"{request.method} {request.url.path} does not exist here; /docs lists what does."
        return problem(error.status_code, code, detail if error.status_code in (404, 405) else str(error.detail))

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        _log.exception("A defect in %s %s", request.method, request.url.path, exc_info=error)
        return problem(500, "internal_error", "A defect of the server; its log says more. Please report it.")
