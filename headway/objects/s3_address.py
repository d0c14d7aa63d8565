"""The URL of a place in an S3 store: `s3://bucket/prefix?endpoint=URL&region=NAME&links=yes`."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from headway.errors import SettingInvalid

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]*")
_OPTIONS = ("endpoint", "region", "links")


class S3Address(NamedTuple):
    """A bucket, and the prefix of all keys there: empty, or text that ends in a slash.

    `endpoint`: the server's URL; None is AWS. `region`: None takes it from the AWS settings. `links`: clients and
    workers reach the store, too, so they fetch files from it.
    """

    bucket: str
    prefix: str
    endpoint: str | None
    region: str | None
    links: bool

    @classmethod
    def parse(cls, url: str) -> S3Address:
        """Raises SettingInvalid."""
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise SettingInvalid(
                "HEADWAY_OBJECTS_URL must not contain credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "give the server a role."
            )
        if not _BUCKET.fullmatch(parts.netloc):
            raise SettingInvalid(
                f"HEADWAY_OBJECTS_URL names bucket {parts.netloc!r}. Write s3://BUCKET/PREFIX; a bucket's name has 3 "
                "to 63 lower-case letters, digits, dots and hyphens."
            )
        prefix = unquote(parts.path).strip("/")
        if not _PREFIX.fullmatch(prefix):
            raise SettingInvalid(
                f"HEADWAY_OBJECTS_URL names prefix {prefix!r}. Use letters, digits, slashes and !_.*'()-."
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise SettingInvalid(
                f"HEADWAY_OBJECTS_URL has the unknown option {unknown[0]}; it may have {', '.join(_OPTIONS)}."
            )
        endpoint = options.get("endpoint")
        if endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"):
            raise SettingInvalid(
                f"HEADWAY_OBJECTS_URL has endpoint={endpoint}; write http://HOST:PORT or https://HOST."
            )
        links = options.get("links", "no" if endpoint else "yes")
        if links not in ("yes", "no"):
            raise SettingInvalid(f"HEADWAY_OBJECTS_URL has links={links}; write links=yes or links=no.")
        return cls(parts.netloc, f"{prefix}/" if prefix else "", endpoint, options.get("region"), links == "yes")

    def __str__(self) -> str:
        place = f"bucket {self.bucket}"
        return f"{place} at {self.endpoint}" if self.endpoint else place
