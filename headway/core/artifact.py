"""An artifact: a file that an attempt made and that the object store keeps."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from headway.core.frozen import Frozen

ARTIFACT_NAME_PATTERN = r"^[^\x00-\x1f\x7f/\\]+(/[^\x00-\x1f\x7f/\\]+)*$"
MAXIMUM_NAME_CHARACTERS = 512
_LONGEST_ESCAPED_BYTES = 240
"""File systems allow 255 bytes per part of a path. Escaping makes names longer."""
_NOT_LEGAL = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_ESCAPED = re.compile(rf"{_NOT_LEGAL.pattern}|%")


class Artifact(Frozen):
    """One stored file; `object_id` addresses its bytes, `sha256` is their hash in hexadecimal.

    `link_to`: the artifact whose bytes these are, where the attempt left a link to that file.
    """

    name: str = Field(pattern=ARTIFACT_NAME_PATTERN, max_length=MAXIMUM_NAME_CHARACTERS)
    object_id: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    attempt: int = Field(ge=1)
    link_to: str | None = Field(default=None, pattern=ARTIFACT_NAME_PATTERN, max_length=MAXIMUM_NAME_CHARACTERS)

    @field_validator("name", "link_to")
    @classmethod
    def _stays_inside(cls, name: str | None) -> str | None:
        """Downloads write files of these names into a folder. The names must not lead out of it."""
        if name is not None and leaves_folder(name):
            raise ValueError("a name may have no . or .. between its slashes")
        return name


def legal_name(name: str) -> str:
    """The name of a file, as Python tells it, as an artifact's name.

    Bytes that are not UTF-8, control characters and backslashes become a percent sign and two hexadecimal digits, as in
    URLs: the byte E9 becomes `%E9`. A percent sign beside them becomes `%25`. Other names stay as they are.
    """
    if not _NOT_LEGAL.search(name):
        return name
    return "/".join(_shortened(_ESCAPED.sub(_escape, part)) for part in name.split("/"))


def _escape(character: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in character[0].encode("utf-8", "surrogateescape"))


def _shortened(part: str) -> str:
    return part.encode()[:_LONGEST_ESCAPED_BYTES].decode(errors="ignore")


def leaves_folder(name: str) -> bool:
    """Whether a file of that name could lie outside its folder."""
    return any(part in (".", "..") for part in name.split("/"))
