"""An S3 server for tests of stores on URLs, and one whose requests fail."""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import boto3
import pytest

BUCKET = "slides"
KEY, SECRET = "a-key-that-nobody-may-see", "a-secret-that-nobody-may-see"


def _environment(address: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def s3_server() -> Iterator[str]:
    """A server with one bucket, to which the environment points; gives its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    try:
        with pointing_to(address):
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield address
    finally:
        server.stop()


@contextmanager
def pointing_to(address: str) -> Iterator[None]:
    """The environment of an S3 server; clients of another one are forgotten."""
    from s3fs import S3FileSystem

    with pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(address).items():
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        yield
    S3FileSystem.clear_instance_cache()


def keys(prefix: str = "") -> list[str]:
    """Names of what is in the bucket and begins so; a run leaves hundreds."""
    pages = boto3.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
    return [one["Key"] for page in found for one in page.get("Contents", ())]


def objects(prefix: str) -> dict[str, bytes]:
    """What is in the bucket and begins so."""
    client = boto3.client("s3")
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys(prefix)}


class Faults:
    """Which requests fail, and how.

    Parameters
    ----------
    share
        Of requests.
    seed
        Of the choice.

    Attributes
    ----------
    counts
        Requests by what became of them.
    """

    HOW = ("500", "503", "dropped unheard", "answer lost")

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._chance = share, random.Random(seed)
        self._one_at_a_time = threading.Lock()
        self.counts: Counter[str] = Counter()

    def next(self) -> str:
        with self._one_at_a_time:
            fails = self._chance.random() < self._share
            how = self._chance.choice(self.HOW) if fails else "ok"
            self.counts[how] += 1
            return how


@contextmanager
def faulty_proxy(address: str, faults: Faults) -> Iterator[str]:
    """A server that hands requests on to another one, and lets some fail; gives its address."""
    target = urlsplit(address).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handed_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            how = faults.next()
            if how == "dropped unheard":
                self._drop()
                return
            if how in ("500", "503"):
                self.send_response(int(how))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            other = HTTPConnection(target, timeout=60)
            other.request(self.command, self.path, body, dict(self.headers))
            answer = other.getresponse()
            content = answer.read()
            if how == "answer lost":
                self._drop()
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            if answer.getheader("Content-Length") is None:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            other.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handed_on  # noqa: N815

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
