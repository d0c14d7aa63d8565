"""An artifact: a file that an attempt made and that the object store keeps."""

from __future__ import annotations

from pydantic import Field

from headway.core.frozen import Frozen

ARTIFACT_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class Artifact(Frozen):
    """One stored file; `object_id` addresses its bytes, `sha256` is their hash in hexadecimal."""

    name: str = Field(pattern=ARTIFACT_NAME_PATTERN)
    object_id: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    attempt: int = Field(ge=1)
