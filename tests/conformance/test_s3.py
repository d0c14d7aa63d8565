"""What is special about S3: uploads in parts, leftovers, refusals, and a server that is away."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.stub import Stubber

from headway.errors import SettingInvalid, Unavailable
from headway.objects import s3
from headway.objects.s3 import S3Objects
from tests.services import Proxies, s3_url, through_proxy

pytestmark = pytest.mark.anyio
_PART_BYTES = 5 << 20
"""The smallest that S3 takes."""


@pytest.fixture
def url() -> Iterator[str]:
    with s3_url() as url:
        yield url


@pytest.fixture
async def objects(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Objects]:
    monkeypatch.setattr(s3, "_PART_BYTES", _PART_BYTES)
    objects = S3Objects(url)
    await objects.open()
    yield objects
    await objects.close()


async def pieces(size_bytes: int, *, breaks: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, size_bytes, 1 << 20):
        yield bytes([start >> 20]) * min(1 << 20, size_bytes - start)
    if breaks:
        raise ConnectionError("the client disconnected")


async def test_a_large_object_goes_in_parts_and_comes_back(objects: S3Objects) -> None:
    stored = await objects.put("large", pieces(2 * _PART_BYTES + 5))
    content = b"".join([chunk async for chunk in objects.get("large")])
    assert (len(content), hashlib.sha256(content).hexdigest()) == (stored.size_bytes, stored.sha256)
    part = b"".join([chunk async for chunk in objects.get("large", _PART_BYTES - 2, _PART_BYTES + 2)])
    assert part == content[_PART_BYTES - 2 : _PART_BYTES + 2]
    assert max([len(chunk) async for chunk in objects.get("large")]) <= 1 << 20


async def test_a_link_sends_a_part_of_the_object_to_anyone_as_a_file(url: str) -> None:
    objects = S3Objects(f"{url}&links=yes")
    await objects.put("models/1", pieces(20))
    link = await objects.link("models/1", "mödel.html")
    async with httpx.AsyncClient() as anyone:
        answer = await anyone.get(link, headers={"Range": "bytes=3-5"})
    assert (answer.status_code, answer.content) == (206, b"\0\0\0")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''m%C3%B6del.html"
    assert answer.headers["content-type"] == "application/octet-stream", "a browser shows nothing of it"
    await objects.close()
    assert await S3Objects(url).link("models/1", "x") is None, "another server than AWS has links only if asked"


async def test_an_upload_that_breaks_after_some_parts_leaves_nothing(objects: S3Objects) -> None:
    with pytest.raises(ConnectionError):
        await objects.put("large", pieces(2 * _PART_BYTES, breaks=True))
    assert [one async for one in objects.list("")] == []
    found = await objects.call("list_multipart_uploads", Prefix=f"{objects._address.prefix}large")
    assert found.get("Uploads", []) == []


async def test_parts_that_a_killed_server_left_are_removed_by_a_later_start(objects: S3Objects) -> None:
    """Given two unfinished uploads, when a server starts, then it ends the old one: the other may be in progress."""
    now = datetime.now(UTC)
    place = {"Bucket": "headway", "Prefix": objects._address.prefix}
    uploads = [
        {"Key": "a/old", "UploadId": "1", "Initiated": now - timedelta(days=2)},
        {"Key": "a/new", "UploadId": "2", "Initiated": now - timedelta(hours=2)},
    ]
    with Stubber(objects._client) as stub:  # the server in use lists uploads of a whole key only
        stub.add_response("list_objects_v2", {"IsTruncated": False}, {**place, "MaxKeys": 1})
        stub.add_response("put_object", {})
        stub.add_response("delete_object", {})
        stub.add_response("list_multipart_uploads", {"Uploads": uploads}, place)
        stub.add_response("abort_multipart_upload", {}, {"Bucket": "headway", "Key": "a/old", "UploadId": "1"})
        await objects.open()
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("SlowDown", 503, "answers SlowDown: too much"),
        ("InternalError", 500, "answers InternalError: too much"),
        ("ExpiredToken", 400, r"refuses the credentials \(ExpiredToken\). Check AWS_ACCESS_KEY_ID"),
        ("AccessDenied", 403, r"refuses the credentials \(AccessDenied\)"),
        ("InvalidAccessKeyId", 403, r"refuses the credentials \(InvalidAccessKeyId\)"),
        ("XMinioStorageFull", 507, "answers XMinioStorageFull"),
    ],
)
async def test_a_refusal_is_unavailable_and_names_the_store(
    objects: S3Objects, code: str, status: int, words: str
) -> None:
    with Stubber(objects._client) as stub:
        stub.add_client_error("put_object", code, "too much", status)
        with pytest.raises(Unavailable, match=f"bucket headway at .* {words}"):
            await objects.put("x", pieces(3))


async def test_wrong_credentials_stop_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for attempt in (S3Objects(url).open(), S3Objects(url).open_to_read(), S3Objects(url).problems()):
        with pytest.raises(SettingInvalid, match="refuses the credentials"):
            await attempt


async def test_a_bucket_that_does_not_exist_stops_the_start(url: str) -> None:
    with pytest.raises(SettingInvalid, match=r"bucket nobody-has-this, which does not exist\."):
        await S3Objects(url.replace("s3://headway/", "s3://nobody-has-this/")).open()


async def test_a_server_that_is_not_there_stops_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    with pytest.raises(SettingInvalid, match=r"HEADWAY_OBJECTS_URL names bucket headway at .* does not answer"):
        await S3Objects("s3://headway/x?endpoint=http://127.0.0.1:9&region=us-east-1").open()


@pytest.mark.disturbs_servers
async def test_a_store_whose_network_fails_costs_only_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a store that is cut off or silent in an upload, then nothing half is visible, and later all works again."""
    monkeypatch.setattr(s3, "_PART_BYTES", _PART_BYTES)
    monkeypatch.setattr(s3, "_READ_SECONDS", 0.5)
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    proxies = Proxies("s3")
    with s3_url(through_proxy) as url:
        objects = S3Objects(url)
        await objects.open()
        await objects.put("old", pieces(7))

        async def disturbed(fault: Any) -> AsyncIterator[bytes]:
            async for piece in pieces(_PART_BYTES):
                yield piece
            with fault:
                yield b"x" * _PART_BYTES

        for fault in (proxies.cut(), proxies.toxic("timeout", timeout=0)):
            with pytest.raises(Unavailable, match="does not answer"):
                await objects.put("new", disturbed(fault))
        with proxies.cut(), pytest.raises(Unavailable, match="does not answer"):
            await objects.size_bytes("old")
        assert [one async for one in objects.list("")] == ["old"]
        await objects.put("new", pieces(9))
        assert [one async for one in objects.list("")] == ["new", "old"]
        await objects.close()
