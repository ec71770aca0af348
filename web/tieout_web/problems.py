"""Errors as problem+json (RFC 9457), the same everywhere; a browser gets them as a page."""

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field


class Problem(BaseModel):
    """What went wrong, by RFC 9457."""

    type: str = Field("about:blank", description="Identifies the kind of problem.")
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="This occurrence: the value, and what to do.")


class Refused(Exception):
    """A request that gets a problem for an answer."""

    def __init__(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer."""
    body = Problem(type="about:blank", title=status.phrase, status=int(status), detail=detail)
    return JSONResponse(body.model_dump(), int(status), headers, "application/problem+json")


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, for something that is a page."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(("/v1", "/compat"))


def described(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors that an operation may answer."""
    schema = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {code: {"description": HTTPStatus(code).phrase, "content": schema} for code in codes}
