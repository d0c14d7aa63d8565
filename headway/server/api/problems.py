"""Errors as RFC 9457 problems."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from headway.core.invalid_fields import invalid_field
from headway.errors import HeadwayError

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = "1"


class ProblemField(BaseModel):
    """What is wrong with one field of a request."""

    at: str
    message: str


class Problem(BaseModel):
    """Why a request failed, by RFC 9457. `code` is stable; `detail` is for people."""

    type: str = Field(examples=["urn:headway:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["not_found"])
    retryable: bool = Field(description="The same request may succeed later.")
    errors: list[ProblemField] | None = Field(default=None, description="The invalid fields, if any.")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    errors: list[ProblemField] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as an answer. Text of the request that is not valid Unicode is escaped."""
    title = code.replace("_", " ").capitalize()
    one = Problem(
        type=f"urn:headway:problem:{code}",
        title=title,
        status=status,
        detail=_unicode(detail),
        code=code,
        retryable=retryable,
        errors=errors,
    )
    sent = {**(headers or {})}
    if status == 401:
        sent["WWW-Authenticate"] = "Bearer"
    if status == 503:
        sent["Retry-After"] = _RETRY_AFTER_SECONDS
    return JSONResponse(one.model_dump(exclude_none=True), status, headers=sent, media_type=MEDIA_TYPE)


def _unicode(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def answer_of(error: HeadwayError) -> JSONResponse:
    """The answer for one of our errors."""
    return problem(error.status, error.code, error.message, retryable=error.retryable)


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""

    @app.exception_handler(HeadwayError)
    async def headway_error(request: Request, error: HeadwayError) -> JSONResponse:
        if error.status >= 500:
            _log.error("%s %s: %s", request.method, request.url.path, error)
        return answer_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [
            invalid_field({**one, "loc": _path(one["loc"])}, one.get("model") or _body_model(request))
            for one in error.errors()
        ]
        problems = [
            ProblemField(at=_unicode(field.at or str(one["loc"][0])), message=_unicode(field.message))
            for field, one in zip(fields, error.errors(), strict=True)
        ]
        return problem(422, "invalid_input", fields[0].sentence, errors=problems)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        detail = f"{request.method} {request.url.path} does not exist. /docs lists the routes."
        detail = detail if error.status_code in (404, 405) else str(error.detail)
        return problem(error.status_code, code, detail, headers=error.headers)

    @app.exception_handler(ClientDisconnect)
    async def client_left(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # the client has disconnected

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        _log.exception("A defect in %s %s", request.method, request.url.path, exc_info=error)
        return problem(500, "internal_error", "A defect of the server. Its log says more. Please report it.")


def _path(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The field's path in the body, or the parameter's name. Repeated parameters are no list to whoever sends them."""
    return location[1:2] if location[0] == "query" else location[1:]


def _body_model(request: Request) -> type[BaseModel] | None:
    """The model that the route parses its body as; None if it has none."""
    body = getattr(request.scope.get("route"), "body_field", None)
    kind = None if body is None else body.field_info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
