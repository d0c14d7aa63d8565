"""Which URLs name a place in an S3 store."""

from __future__ import annotations

import pytest

from headway.errors import SettingInvalid
from headway.objects.s3_address import S3Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://models", S3Address("models", "", None, None, True)),
        ("s3://models/", S3Address("models", "", None, None, True)),
        ("s3://models/team/a/?region=eu-west-1", S3Address("models", "team/a/", None, "eu-west-1", True)),
        ("s3://models/a?endpoint=http://h:9000", S3Address("models", "a/", "http://h:9000", None, False)),
        ("s3://models/a?endpoint=http://h:9000&links=yes", S3Address("models", "a/", "http://h:9000", None, True)),
        ("s3://models?links=no", S3Address("models", "", None, None, False)),
    ],
)
def test_a_place_is_a_bucket_and_a_prefix(url: str, address: S3Address) -> None:
    assert S3Address.parse(url) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://", "bucket ''"),
        ("s3:///models", "bucket ''"),
        ("s3://Models/x", "bucket 'Models'"),
        ("s3://key:secret@models", "must not contain credentials"),
        ("s3://models/a b", "prefix 'a b'"),
        ("s3://models?endpont=http://x", "unknown option endpont; it may have endpoint, region, links"),
        ("s3://models?endpoint=minio:9000", "endpoint=minio:9000; write http://HOST:PORT"),
        ("s3://models?links=", "links=; write links=yes or links=no"),
        ("s3://models?endpoint=", "endpoint=; write http://HOST:PORT"),
    ],
)
def test_other_urls_are_refused(url: str, words: str) -> None:
    with pytest.raises(SettingInvalid, match="HEADWAY_OBJECTS_URL") as refused:
        S3Address.parse(url)
    assert words in str(refused.value)


def test_an_address_is_shown_without_its_prefix() -> None:
    assert str(S3Address.parse("s3://models/a?endpoint=http://h:1")) == "bucket models at http://h:1"
