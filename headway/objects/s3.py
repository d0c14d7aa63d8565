"""Objects in an S3 bucket, at AWS or any other server of its protocol: `s3://bucket/prefix?endpoint=https://...`.

Credentials come from the AWS chain: variables, profile, container or instance role, web identity (IRSA).
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from headway.core.problem import Problem
from headway.errors import HeadwayError, NotFound, SettingInvalid, Unavailable
from headway.objects.base import Objects, StoredObject, absent, check_object_id
from headway.objects.s3_address import S3Address

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20
_PART_BYTES = 16 << 20
"""S3 takes 10,000 parts, so an object of up to 160 GB. Each upload keeps one part in memory."""
_THREADS = 16
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0
_ATTEMPTS = 3
_LINK_SECONDS = 600
_LEFTOVER_AGE = timedelta(days=1)
"""Younger unfinished uploads may be those of another server."""
_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_PAST_THE_END = "InvalidRange"
_Answer = TypeVar("_Answer")


class S3Objects(Objects):
    """One S3 object per object. A large one is uploaded in parts and appears when all are there."""

    def __init__(self, url: str) -> None:
        """Raises SettingInvalid."""
        self._url = url
        self._address = S3Address.parse(url)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        self._client: Any = None

    async def open(self) -> None:
        await self._check(writes=True)
        await self._abort_leftovers()

    async def open_to_read(self) -> None:
        await self._check(writes=False)

    async def close(self) -> None:
        if self._client is not None:
            await self._in_thread(self._client.close)
        self._threads.shutdown(wait=False)

    async def problems(self) -> list[Problem]:
        probe = S3Objects(self._url)
        try:
            await probe._check(writes=True)
        finally:
            await probe.close()
        return []

    async def put(self, object_id: str, chunks: AsyncIterator[bytes]) -> StoredObject:
        key = self._key(object_id)
        digest = hashlib.sha256()
        size_bytes = 0
        upload = _Upload(self, key)
        try:
            async for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                await upload.add(chunk)
            await upload.finish()
        except BaseException:
            await asyncio.shield(upload.abort())
            raise
        return StoredObject(size_bytes, digest.hexdigest())

    async def get(self, object_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if end is not None and end <= start:
            await self.size_bytes(object_id)
            return
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        try:
            answer = await self.call("get_object", Key=self._key(object_id), **wanted)
        except NotFound as error:
            raise absent(object_id) from error
        except _PastTheEnd:
            return
        body = answer["Body"]
        try:
            while chunk := await self._in_thread(body.read, _CHUNK_BYTES):
                yield chunk
        finally:
            body.close()

    async def link(self, object_id: str, file_name: str) -> str | None:
        if not self._address.links:
            return None
        client = await self._connected()
        wanted = {
            "Bucket": self._address.bucket,
            "Key": self._key(object_id),
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(file_name)}",
            "ResponseContentType": "application/octet-stream",
        }
        sign = partial(client.generate_presigned_url, "get_object", Params=wanted, ExpiresIn=_LINK_SECONDS)
        return str(await self._in_thread(sign))

    async def size_bytes(self, object_id: str) -> int:
        try:
            return int((await self.call("head_object", Key=self._key(object_id)))["ContentLength"])
        except NotFound as error:
            raise absent(object_id) from error

    async def delete(self, object_id: str) -> None:
        await self.call("delete_object", Key=self._key(object_id))

    async def list(self, prefix: str) -> AsyncIterator[str]:
        position: dict[str, str] = {}
        while True:  # S3 lists keys by their UTF-8 bytes, and all of ours are ASCII
            page = await self.call("list_objects_v2", Prefix=self._address.prefix + prefix, **position)
            for one in page.get("Contents", ()):
                yield one["Key"][len(self._address.prefix) :]
            if not page["IsTruncated"]:
                return
            position = {"ContinuationToken": page["NextContinuationToken"]}

    async def call(self, operation: str, **parameters: Any) -> Any:
        """The answer to one request about the bucket. Raises NotFound, Unavailable."""
        client = await self._connected()
        return await self._in_thread(lambda: getattr(client, operation)(Bucket=self._address.bucket, **parameters))

    async def _check(self, *, writes: bool) -> None:
        """Raises SettingInvalid unless the bucket can be read and, if asked for, written."""
        try:
            await self.call("list_objects_v2", Prefix=self._address.prefix, MaxKeys=1)
            if writes:
                check = f"{self._address.prefix}write-check"
                await self.call("put_object", Key=check, Body=b"")
                await self.call("delete_object", Key=check)
        except NotFound as error:
            raise SettingInvalid(
                f"HEADWAY_OBJECTS_URL names bucket {self._address.bucket}, which does not exist. Create it first."
            ) from error
        except HeadwayError as error:
            raise SettingInvalid(f"HEADWAY_OBJECTS_URL names {self._address}: {error}") from error

    async def _abort_leftovers(self) -> None:
        """End uploads that a server left unfinished: they cost money, and no list shows them."""
        try:
            found = await self.call("list_multipart_uploads", Prefix=self._address.prefix)
            old = datetime.now(UTC) - _LEFTOVER_AGE
            for one in found.get("Uploads", ()):
                if one["Initiated"] < old:
                    await self.call("abort_multipart_upload", Key=one["Key"], UploadId=one["UploadId"])
        except HeadwayError as error:
            _log.warning("Unfinished uploads in %s were not removed: %s", self._address, error)

    async def _connected(self) -> Any:
        if self._client is None:
            self._client = await self._in_thread(self._connect)
        return self._client

    def _connect(self) -> Any:
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_THREADS,
            s3={"addressing_style": "path"} if self._address.endpoint else {},
            # Servers other than AWS do not all know the newer checksums. Headway checks SHA-256 itself.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.session.Session().client(
            "s3", endpoint_url=self._address.endpoint, region_name=self._address.region, config=config
        )

    async def _in_thread(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """Raises our errors in place of the library's."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except ClientError as error:
            raise self._error(error) from error
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise Unavailable(f"{self._address} does not answer: {error}") from error

    def _error(self, error: ClientError) -> Exception:
        answer = error.response.get("Error", {})
        code, status = str(answer.get("Code")), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == _PAST_THE_END:
            return _PastTheEnd()
        if code in _ABSENT or code == "NoSuchBucket":
            return NotFound(f"{self._address} does not have it ({code}).")
        if status in (401, 403) or "Token" in code:
            return Unavailable(
                f"{self._address} refuses the credentials ({code}). Check AWS_ACCESS_KEY_ID or the role of the server, "
                "and that it may list, get, put and delete objects there."
            )
        return Unavailable(f"{self._address} answers {code}: {answer.get('Message') or status}.")

    def _key(self, object_id: str) -> str:
        return self._address.prefix + check_object_id(object_id)


class _PastTheEnd(Exception):
    """The range begins where the object ends, or after."""


class _Upload:
    """An object on its way: in one request if it is small, otherwise in parts."""

    def __init__(self, store: S3Objects, key: str) -> None:
        self._store = store
        self._key = key
        self._waiting = bytearray()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    async def add(self, chunk: bytes) -> None:
        """Take more bytes, and send whole parts."""
        self._waiting += chunk
        while len(self._waiting) >= _PART_BYTES:
            await self._send_part(bytes(self._waiting[:_PART_BYTES]))
            del self._waiting[:_PART_BYTES]

    async def finish(self) -> None:
        """Send the rest. Afterwards the object exists."""
        if self._id is None:
            await self._store.call("put_object", Key=self._key, Body=bytes(self._waiting))
            return
        if self._waiting:
            await self._send_part(bytes(self._waiting))
        await self._store.call(
            "complete_multipart_upload", Key=self._key, UploadId=self._id, MultipartUpload={"Parts": self._parts}
        )

    async def abort(self) -> None:
        """Remove the parts that were sent. If that fails, a later start of a server does it."""
        if self._id is not None:
            try:
                await self._store.call("abort_multipart_upload", Key=self._key, UploadId=self._id)
            except HeadwayError as error:
                _log.warning("An unfinished upload stays for now: %s", error)

    async def _send_part(self, content: bytes) -> None:
        if self._id is None:
            self._id = (await self._store.call("create_multipart_upload", Key=self._key))["UploadId"]
        number = len(self._parts) + 1
        sent = await self._store.call(
            "upload_part", Key=self._key, UploadId=self._id, PartNumber=number, Body=content
        )  # fmt: skip
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
