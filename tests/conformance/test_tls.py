"""TLS with a CA file in every URL, client certificates where the server has them, and a wrong CA refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from headway.backend_registry import backend
from headway.errors import SettingInvalid
from tests.services import another_authority, service_url

pytestmark = pytest.mark.anyio
URLS = {
    "PostgreSQL": ("database", "POSTGRES_TLS_URL", ()),
    "PostgreSQL, by a client's certificate": ("database", "POSTGRES_TLS_CERT_URL", ()),
    "MongoDB": ("database", "MONGODB_TLS_URL", ()),
    "Redis": ("cache", "REDIS_TLS_URL", (1 << 20,)),
}


@pytest.mark.parametrize("name", URLS)
async def test_the_right_authority_is_accepted(name: str) -> None:
    kind, variable, arguments = URLS[name]
    url = service_url(variable)
    one: Any = backend(kind, url)(url, *arguments)
    await one.open()
    await one.close()


@pytest.mark.parametrize("name", [name for name in URLS if "certificate" not in name])
async def test_another_authority_is_refused(name: str, tmp_path: Path) -> None:
    kind, variable, arguments = URLS[name]
    wrong = service_url(variable).replace(os.environ["TLS_CA"], str(another_authority(tmp_path)))
    one: Any = backend(kind, wrong)(wrong, *arguments)
    with pytest.raises(SettingInvalid, match="HEADWAY_"):
        await one.open()
