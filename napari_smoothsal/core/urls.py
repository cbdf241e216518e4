"""URLs as fsspec has them."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_url(source: str) -> bool:
    """Whether a source is a URL as fsspec has them: ``s3://...``, ``zip://a.svs::file.zip``."""
    before, separator, _ = source.partition("://")
    scheme = before.rpartition("::")[2]
    # One letter is a drive of Windows.
    return bool(separator) and len(scheme) > 1 and scheme.replace("+", "").isalnum()


def label_of_url(url: str) -> str:
    """The last part of a URL's path: what messages may say of it (never who may enter)."""
    links = url.split("::")
    inner = next((link for link in links if "://" in link), url)
    # Not urlsplit's path alone: in zip://a.svs::archive.zip the file takes the place of a host.
    parts = urlsplit(inner)
    host = parts.netloc.rpartition("@")[2]
    return parts.path.rstrip("/").rpartition("/")[2] or host or "slide"
