"""A server that others reach: TLS or a proxy, certificates that change while it runs, addresses of clients."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from headway.errors import SettingInvalid
from headway.server import certificates
from headway.server.certificates import check_exposure, keep_certificate
from headway.server.server import Server
from headway.settings import Settings
from tests.api.conftest import opened

pytestmark = pytest.mark.anyio


def write_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of `localhost` that signs itself, issued by `name`, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths = folder / "server.crt", folder / "server.key"
    paths[1].write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
    paths[0].write_bytes(made.public_bytes(pem))
    return paths


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "head.example"])  # noqa: S104
def test_who_listens_to_others_needs_tls_or_a_proxy(host: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, host=host)
    with pytest.raises(SettingInvalid, match=f"On {host}, others .* --behind-proxy"):
        check_exposure(settings)
    check_exposure(settings.model_copy(update={"behind_proxy": True}))
    files = {"tls_certificate": tmp_path / "a", "tls_key": tmp_path / "b"}
    check_exposure(settings.model_copy(update=files))
    with pytest.raises(SettingInvalid, match="belong together"):
        check_exposure(settings.model_copy(update={"tls_key": tmp_path / "b"}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_a_server_for_its_own_machine_needs_neither(host: str, tmp_path: Path) -> None:
    check_exposure(Settings(home=tmp_path, host=host))


async def test_a_certificate_is_renewed_while_the_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given TLS, when the files change, then new connections see the new certificate, and an open one stays open."""
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.01)
    files = write_certificate(tmp_path, "first")
    settings = Settings(home=tmp_path / "home", tls_certificate=files[0], tls_key=files[1])
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with opened(Server(settings)) as api, api.listening() as port:
        assert api.http_server is not None
        context = api.http_server.config.ssl
        assert context is not None
        keeping = asyncio.create_task(keep_certificate(context, *files))

        async def issuer() -> str:
            _, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            with suppress(ssl.SSLError, OSError):
                await writer.wait_closed()
            return str(x509.load_der_x509_certificate(shown).issuer.rfc4514_string())

        async with httpx.AsyncClient(verify=trusting, base_url=f"https://localhost:{port}") as http:
            assert (await http.get("/livez")).status_code == 200
            assert await issuer() == "CN=first"
            files[0].write_text("half of a certificate")
            await asyncio.sleep(0.05)
            assert await issuer() == "CN=first"
            write_certificate(tmp_path, "second")
            async with asyncio.timeout(10):
                while await issuer() != "CN=second":
                    await asyncio.sleep(0.01)
            assert (await http.get("/livez")).status_code == 200, "the connection from before"
            link = (await http.post("/api/v1/links", headers=dict(api.http.headers))).json()
            assert "secure" in (await http.get(link["path"])).headers["set-cookie"].lower()
        keeping.cancel()


@pytest.mark.parametrize(
    ("settings", "sent", "address"),
    [
        ({}, "203.0.113.7", "127.0.0.1"),
        ({"behind_proxy": True}, "203.0.113.7", "203.0.113.7"),
        ({"behind_proxy": True}, "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (
            {"behind_proxy": True, "proxy_addresses": ("127.0.0.1", "10.0.0.0/8")},
            "203.0.113.7, 10.1.2.3",
            "203.0.113.7",
        ),
        ({"behind_proxy": True, "proxy_addresses": ("10.0.0.1",)}, "203.0.113.7", "127.0.0.1"),
    ],
)
async def test_the_audit_has_the_clients_address(
    tmp_path: Path, settings: dict[str, Any], sent: str, address: str
) -> None:
    """Given `X-Forwarded-For`, then it counts from a proxy that is named only, so clients forge nothing."""
    async with opened(Server(Settings(home=tmp_path / "home", **settings))) as api, api.listening() as port:
        headers = {"Authorization": api.http.headers["Authorization"], "X-Forwarded-For": sent}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            assert (await http.post("/api/v1/projects", json={"name": "vision"})).status_code == 201
            assert (await http.get("/api/v1/audit")).json()[0]["address"] == address
