"""Files from http and https URLs, kept in the store and asked for again only as far as needed.

    STORE/downloads/http/<key>/record          what the server said, and what came of it
    STORE/downloads/http/<key>/lock            flocked while a process downloads
    STORE/downloads/http/<key>/partial         what has come so far, with `partial.record`
    STORE/downloads/http/<key>/<version>/NAME  the file, mode 0600, with the server's time

A version stays as it is while anybody uses the store: what comes new gets a directory of its own.

Source: RFC 9110, "Conditional Requests", "Range Requests"; Dockerfile reference, "ADD".
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from builder.errors import Cancelled, RegistryError, SourceError
from builder.registry import backoff
from builder.registry.address import Origin, origin_of, redact
from builder.registry.exchange import Authorization, Request, Response, Transport
from builder.source.answers import (
    LIMIT,
    in_our_words,
    inflated,
    range_start,
    refused,
    seconds,
    too_large,
)
from builder.source.credentials import Credential

_PIECE = 1 << 20
_REPORT_EVERY = 1 << 18
_WAIT = 0.1

Progress = Callable[[str, int, int | None], None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file to have: `name` is a single name, `checksum` is `sha256:…` or "".

    `credential` is told to the server of the address, and to none to which it redirects.
    """

    url: str
    name: str
    checksum: str = ""
    credential: Credential | None = None


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is here: `directory`, a host path, holds it alone; `moved` are the bytes that came now."""

    directory: str
    digest: str
    size: int
    moved: int


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file: validators as the server gave them, `mtime` in seconds."""

    etag: str = ""
    modified: str = ""
    digest: str = ""
    size: int = 0
    mtime: int = 0

    @property
    def version(self) -> str:
        return f"{self.digest.removeprefix('sha256:')[:32]}-{self.mtime}"


class Downloads:
    """The downloads of one store; many threads and processes may ask at once.

    `transports` gives the way to ask: True for one that may follow redirects to unencrypted addresses. `hold` is told
    of a directory, which is to stay from then on, before it is looked into.
    """

    def __init__(
        self,
        root: str,
        transports: Callable[[bool], Transport],
        *,
        cancelled: Callable[[], bool],
        hold: Callable[[str], None] | None = None,
        wait: Callable[[float, Callable[[], bool]], None] = backoff.wait,
    ) -> None:
        self._root = root
        self._transports = transports
        self._cancelled = cancelled
        self._hold = hold
        self._wait = wait

    def here(self, wanted: Wanted) -> Download | None:
        """Return what is here and has the checksum that was asked for; None if that has to be found out."""
        if not wanted.checksum:
            return None
        record = _read(f"{self._place(wanted)}/record")
        if record is None or record.digest != wanted.checksum:
            return None
        return self._existing(wanted, record)

    def fetch(self, wanted: Wanted, progress: Progress) -> Download:
        """Return the file as the server has it now; what is here already is not moved again.

        Raises: SourceError: it cannot be had, or has another checksum. Cancelled.
        """
        place = self._place(wanted)
        os.makedirs(place, mode=0o700, exist_ok=True)
        with self._alone(place):
            found = self.here(wanted)
            if found is not None:
                return found
            return _Fetching(
                wanted, place, self._transport(wanted), progress, self._cancelled, self._wait
            ).run()

    def _transport(self, wanted: Wanted) -> Transport:
        # Who asks in the clear, or for a known content, loses nothing by a redirect that is not encrypted.
        return self._transports(wanted.url.startswith("http://") or bool(wanted.checksum))

    def _place(self, wanted: Wanted) -> str:
        text = f"{wanted.url}\0{wanted.name}".encode("utf-8", "surrogateescape")
        place = f"{self._root}/http/{hashlib.sha256(text).hexdigest()[:40]}"
        if self._hold is not None:
            self._hold(place)
        return place

    def _existing(self, wanted: Wanted, record: _Record) -> Download | None:
        return existing(self._place(wanted), wanted.name, record)

    @contextmanager
    def _alone(self, place: str) -> Iterator[None]:
        fd = os.open(f"{place}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._wait(_WAIT, self._cancelled)
            yield
        finally:
            os.close(fd)


def existing(place: str, name: str, record: _Record) -> Download | None:
    """Return the file of a record, if it is there as it was left."""
    directory = f"{place}/{record.version}"
    try:
        status = os.lstat(f"{directory}/{name}")
    except OSError:
        return None
    if (status.st_size, int(status.st_mtime)) != (record.size, record.mtime):
        return None
    return Download(directory=directory, digest=record.digest, size=record.size, moved=0)


class _Restart(Exception):
    """What came so far is of no use."""


class _Fetching:
    """One download in progress, alone in its place."""

    def __init__(
        self,
        wanted: Wanted,
        place: str,
        transport: Transport,
        progress: Progress,
        cancelled: Callable[[], bool],
        wait: Callable[[float, Callable[[], bool]], None],
    ) -> None:
        self._wanted = wanted
        self._place = place
        self._partial = f"{place}/partial"
        self._transport = transport
        self._progress = progress
        self._cancelled = cancelled
        self._wait = wait
        self._moved = 0
        self._url, self._origin, self._authorization = _address(wanted.url)
        if wanted.credential is not None:
            self._authorization = Authorization(wanted.credential.header, self._origin)

    def run(self) -> Download:
        """Ask, and take what comes, in several tries if the connection breaks."""
        failures = 0
        while True:
            try:
                return self._try()
            except _Restart:
                self._forget()
                failures += 1
                if failures >= backoff.ATTEMPTS:
                    raise SourceError(
                        f"`{redact(self._url)}` changes while it is downloaded"
                    ) from None
            except RegistryError as error:
                failures += 1
                if not error.temporary or failures >= backoff.ATTEMPTS:
                    raise in_our_words(error, self._url) from error
                self._wait(backoff.delay(failures), self._cancelled)

    def _try(self) -> Download:
        known = _read(f"{self._place}/record")
        here = None if known is None else existing(self._place, self._wanted.name, known)
        partial, size = self._left_over()
        request = Request(
            method="GET",
            url=self._url,
            registry=self._origin,
            headers=(*_conditions(known if here else None), *_range(partial, size)),
            authorization=self._authorization,
        )
        with self._transport.send(request) as response:
            if response.status == 304 and here is not None:
                self._check(here.digest)
                return here
            if response.status == 416:
                raise _Restart
            if response.status == 206 and partial is not None:
                if range_start(response) != size:
                    raise _Restart
                return self._take(response, partial, size)
            if response.status != 200:
                raise refused(response.status, self._url, self._wanted.credential)
            self._forget()
            validators = _Record(
                etag=response.header("etag") or "", modified=response.header("last-modified") or ""
            )
            return self._take(response, validators, 0)

    def _left_over(self) -> tuple[_Record | None, int]:
        """Return what an earlier try left, if the server can be asked for the rest of it."""
        record = _read(f"{self._partial}.record")
        if record is None or not _strong(record):
            return None, 0
        try:
            size = os.stat(self._partial).st_size
        except FileNotFoundError:
            return None, 0
        return (record, size) if size else (None, 0)

    def _forget(self) -> None:
        for path in (self._partial, f"{self._partial}.record"):
            if os.path.exists(path):
                os.unlink(path)

    def _take(self, response: Response, validators: _Record, have: int) -> Download:
        encoding = (response.header("content-encoding") or "identity").lower()
        length = response.header("content-length")
        total = have + int(length) if length and length.isdecimal() and len(length) < 19 else None
        if total is not None and total > LIMIT:
            raise too_large(self._url)
        chunks = response.chunks()
        if encoding in ("gzip", "x-gzip"):
            chunks, total = inflated(chunks, self._url), None
        else:
            _write(f"{self._partial}.record", validators)
        digest, size = self._save(chunks, have, total)
        if total is not None and size != total:
            raise RegistryError("the connection broke", temporary=True)
        self._check(digest)
        return self._keep(
            msgspec.structs.replace(
                validators, digest=digest, size=size, mtime=seconds(validators.modified)
            )
        )

    def _save(self, chunks: Iterator[bytes], have: int, total: int | None) -> tuple[str, int]:
        """Append what comes to the partial file; return the digest and size of the whole."""
        digest = hashlib.sha256()
        reported = have
        with open(self._partial, "ab") as file:
            with open(self._partial, "rb") as begun:
                while piece := begun.read(_PIECE):
                    digest.update(piece)
            size = file.tell()
            for chunk in chunks:
                if self._cancelled():
                    raise Cancelled
                size += len(chunk)
                self._moved += len(chunk)
                if size > LIMIT:
                    raise too_large(self._url)
                digest.update(chunk)
                file.write(chunk)
                if size - reported > _REPORT_EVERY:
                    reported = size
                    self._progress(self._wanted.name, size, total)
            file.flush()
            os.fsync(file.fileno())
        self._progress(self._wanted.name, size, total if total is not None else size)
        return f"sha256:{digest.hexdigest()}", size

    def _check(self, digest: str) -> None:
        if self._wanted.checksum in ("", digest):
            return
        self._forget()
        raise SourceError(
            f"`{redact(self._url)}` is not the file that `--checksum` says",
            code="source.checksum-mismatch",
            notes=(f"expected {self._wanted.checksum}", f"got      {digest}"),
            hint="find out why it differs before you change the checksum",
        )

    def _keep(self, record: _Record) -> Download:
        """Give the finished file its place; the record of it comes last."""
        name = self._wanted.name
        directory = f"{self._place}/{record.version}"
        unfinished = f"{directory}.{os.getpid()}.{time.monotonic_ns()}"
        if existing(self._place, name, record) is None:
            os.chmod(self._partial, 0o600)
            os.utime(self._partial, (record.mtime, record.mtime))
            os.mkdir(unfinished, 0o755)
            os.rename(self._partial, f"{unfinished}/{name}")
            if os.path.isdir(directory):
                os.rename(directory, f"{unfinished}.damaged")
            os.rename(unfinished, directory)
        self._forget()
        _write(f"{self._place}/record", record)
        return Download(
            directory=directory, digest=record.digest, size=record.size, moved=self._moved
        )


def _address(url: str) -> tuple[str, Origin, Authorization | None]:
    """Return an address as it is asked for, without the user and password that it may hold."""
    from base64 import b64encode
    from urllib.parse import quote, unquote, urlsplit

    text = quote(url.partition("#")[0], safe="%/:=&?~+!$,;'@()*[]-._")
    try:
        parts = urlsplit(text)
        authorization = None
        if "@" in parts.netloc:
            user, _, host = parts.netloc.rpartition("@")
            text = parts._replace(netloc=host).geturl()
            name, _, password = user.partition(":")
            secret = f"{unquote(name)}:{unquote(password)}".encode()
            value = f"Basic {b64encode(secret).decode()}"
            authorization = Authorization(value, origin_of(text))
        return text, origin_of(text), authorization
    except (RegistryError, ValueError) as error:
        raise SourceError(
            f"`{redact(url)}` cannot be downloaded: it is no valid address",
            hint="write it as `https://HOST/PATH`",
        ) from error


def _conditions(record: _Record | None) -> tuple[tuple[str, str], ...]:
    """Return the headers that ask for a file only if it has changed."""
    if record is None:
        return ()
    if record.etag:
        return (("If-None-Match", record.etag),)
    return (("If-Modified-Since", record.modified),) if record.modified else ()


def _strong(record: _Record) -> str:
    """Return what identifies the bytes of a file: a strong ETag, else its time; "" if nothing does."""
    return record.etag if record.etag.startswith('"') else "" if record.etag else record.modified


def _range(record: _Record | None, size: int) -> tuple[tuple[str, str], ...]:
    if record is None:
        return ()
    return (("Range", f"bytes={size}-"), ("If-Range", _strong(record)))


def _read(path: str) -> _Record | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=_Record)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: str, record: _Record) -> None:
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    with open(temporary, "wb") as file:
        file.write(msgspec.json.encode(record))
    os.rename(temporary, path)
