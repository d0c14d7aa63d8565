"""The address of a cluster's API and Headway's credentials: from a kubeconfig file, or from the server's own pod."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from headway.errors import SettingInvalid

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_EXEC_TIMEOUT_SECONDS = 30.0
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class Bearer(httpx.Auth):
    """Sends a token. Gets a new one when the API refuses it, because such tokens expire."""

    def __init__(self, read: Callable[[], Awaitable[str]]) -> None:
        self._read = read
        self._token: str | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        for last in (False, True):
            if self._token is None:
                self._token = await self._read()
            request.headers["Authorization"] = f"Bearer {self._token}"
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED or last:
                return
            self._token = None


@dataclass(frozen=True)
class ClusterAccess:
    """The address of the API, the namespace of the jobs, and the credentials of both sides."""

    url: str
    namespace: str
    tls: ssl.SSLContext | bool
    auth: httpx.Auth | None


def in_cluster(environment: Mapping[str, str], folder: Path = _SERVICE_ACCOUNT) -> ClusterAccess:
    """The cluster of this process, with its pod's service account. Raises SettingInvalid."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise SettingInvalid(
            "There is no kubeconfig file, and this is no pod: set KUBECONFIG, or add "
            "?kubeconfig=/path/of/the/file to kubernetes: in HEADWAY_ENGINE_URLS."
        )
    try:
        namespace = (folder / "namespace").read_text().strip()
        tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    except OSError as error:
        raise SettingInvalid(
            f"This pod has no service account token ({error}). Give it a service account, as "
            "docs/how-to/kubernetes.md shows."
        ) from error

    async def read() -> str:
        return (folder / "token").read_text().strip()

    return ClusterAccess(f"https://{f'[{host}]' if ':' in host else host}:{port}", namespace, tls, Bearer(read))


def from_kubeconfig(path: Path, context: str | None) -> ClusterAccess:
    """The cluster of a context of the file, by default the current one. Raises SettingInvalid."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = context or content["current-context"]
        chosen = _named(content, "contexts", name)["context"]
        cluster = _named(content, "clusters", chosen["cluster"])["cluster"]
        user = _named(content, "users", chosen["user"])["user"] or {}
        tls = _tls(cluster, user, path.parent)
        return ClusterAccess(cluster["server"], chosen.get("namespace", "default"), tls, _auth(user, path.parent))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ssl.SSLError, binascii.Error) as error:
        raise SettingInvalid(f"Kubeconfig file {path} cannot be read: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingInvalid(
            f"Kubeconfig file {path} lacks {error}: `kubectl --kubeconfig {path} config view` shows what is in it."
        ) from error


def default_kubeconfig(environment: Mapping[str, str]) -> Path | None:
    """The file that kubectl would use, if there is one. If KUBECONFIG names several, the first."""
    named = environment.get("KUBECONFIG", "").split(os.pathsep)[0]
    if named:
        return Path(named)
    usual = Path.home() / ".kube" / "config"
    return usual if usual.is_file() else None


def _named(content: Any, kind: str, name: str) -> Any:
    found = next((one for one in content[kind] if one["name"] == name), None)
    if found is None:
        raise KeyError(f"{kind}: {name}")
    return found


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> ssl.SSLContext | bool:
    if cluster.get("insecure-skip-tls-verify"):
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    else:
        authority = _bytes_of(cluster, "certificate-authority", folder)
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _bytes_of(user, "client-certificate", folder), _bytes_of(user, "client-key", folder)
    if certificate is not None and key is not None:
        with tempfile.NamedTemporaryFile() as file:  # ssl reads certificates from files only; this one is 0600
            file.write(certificate + b"\n" + key)
            file.flush()
            tls.load_cert_chain(file.name)
    return tls


def _bytes_of(entry: dict[str, Any], name: str, folder: Path) -> bytes | None:
    """The data in an entry, or in the file that the entry names."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"], validate=True)
    return (folder / entry[name]).read_bytes() if name in entry else None


def _auth(user: dict[str, Any], folder: Path) -> httpx.Auth | None:
    if "exec" in user:
        return Bearer(lambda: _token_of_program(user["exec"], folder))
    if "tokenFile" in user:

        async def read_file() -> str:
            return Path(folder, user["tokenFile"]).read_text().strip()

        return Bearer(read_file)
    if "token" in user:

        async def read() -> str:
            return str(user["token"])

        return Bearer(read)
    if "username" in user:
        return httpx.BasicAuth(user["username"], user["password"])
    if "auth-provider" in user:
        raise SettingInvalid("The kubeconfig uses auth-provider, which Kubernetes has removed: use an exec plugin.")
    return None


async def _token_of_program(entry: dict[str, Any], folder: Path) -> str:
    """The output of a kubeconfig's credential plugin (client.authentication.k8s.io). Raises SettingInvalid."""
    program, version = entry["command"], entry.get("apiVersion")
    if version not in _EXEC_VERSIONS:
        raise SettingInvalid(
            f"The kubeconfig's credential plugin {program} speaks {version}; Headway knows v1 and v1beta1."
        )
    words = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    variables = {one["name"]: one["value"] for one in entry.get("env") or ()}
    path = str(folder / program) if "/" in program else program
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            *(entry.get("args") or ()),
            env={**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(words)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_EXEC_TIMEOUT_SECONDS):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise SettingInvalid(
                f"The credential plugin {program} gave no token in {_EXEC_TIMEOUT_SECONDS:g} s."
            ) from None
        if process.returncode != 0:
            raise SettingInvalid(f"The credential plugin {program} failed: {errors.decode(errors='replace')[-500:]}")
        return str(json.loads(output)["status"]["token"])
    except OSError as error:
        raise SettingInvalid(f"The credential plugin {program} cannot be started: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingInvalid(
            f"The credential plugin {program} printed no token; certificates are not supported."
        ) from error
