"""An artifact: a file that an attempt made and that the object store keeps."""

from __future__ import annotations

from pydantic import Field, field_validator

from headway.core.frozen import Frozen

ARTIFACT_NAME_PATTERN = r"^[^\x00-\x1f\x7f/\\]+(/[^\x00-\x1f\x7f/\\]+)*$"
MAXIMUM_NAME_CHARACTERS = 512


class Artifact(Frozen):
    """One stored file; `object_id` addresses its bytes, `sha256` is their hash in hexadecimal."""

    name: str = Field(pattern=ARTIFACT_NAME_PATTERN, max_length=MAXIMUM_NAME_CHARACTERS)
    object_id: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    attempt: int = Field(ge=1)

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, name: str) -> str:
        """Downloads write files of these names into a folder, and must not leave it."""
        if leaves_folder(name):
            raise ValueError("a name may have no . or .. between its slashes")
        return name


def leaves_folder(name: str) -> bool:
    """Whether a file of that name, in a folder, could lie outside it."""
    return any(part in (".", "..") for part in name.split("/"))
