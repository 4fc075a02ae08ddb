"""The verifying writer: wholly here or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.oci.digest import Digest
from builder.store.blobs import BlobStore

DATA = b"some bytes"
DIGEST = Digest.of(DATA)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def leftovers(root: Path) -> list[str]:
    return os.listdir(root / "tmp") if (root / "tmp").exists() else []


def test_a_blob_lies_in_an_image_layout(blobs: BlobStore, tmp_path: Path) -> None:
    descriptor = blobs.ingest([b"some ", b"", b"bytes"], media_type="x/y")
    assert (descriptor.digest, descriptor.size, descriptor.media_type) == (DIGEST, len(DATA), "x/y")
    assert (tmp_path / "blobs/sha256" / DIGEST.hex).read_bytes() == DATA
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert blobs.path(DIGEST) == str(tmp_path / "blobs/sha256" / DIGEST.hex)
    assert leftovers(tmp_path) == []


def test_asking_makes_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    assert not blobs.contains(DIGEST)
    assert blobs.size(DIGEST) is None
    assert blobs.digests() == []
    assert blobs.sweep() == 0
    assert os.listdir(tmp_path) == []
    with pytest.raises(StoreError, match="lacks the blob"):
        blobs.open(DIGEST)


def test_reading_gives_what_was_written(blobs: BlobStore) -> None:
    blobs.add(DATA, media_type="")
    with blobs.open(DIGEST) as file:
        assert file.read() == DATA
    assert blobs.read(DIGEST) == DATA
    assert blobs.size(DIGEST) == len(DATA)
    assert blobs.digests() == [DIGEST]


def test_a_blob_that_is_here_is_not_asked_for_again(blobs: BlobStore) -> None:
    blobs.add(DATA, media_type="")

    def never() -> Iterator[bytes]:
        pytest.fail("was read")
        yield b""

    assert blobs.ingest(never(), media_type="m", expected=DIGEST, size=len(DATA)).size == len(DATA)


def test_sha512_has_a_directory_of_its_own(blobs: BlobStore, tmp_path: Path) -> None:
    import hashlib

    digest = Digest("sha512:" + hashlib.sha512(DATA).hexdigest())
    assert blobs.ingest([DATA], media_type="", expected=digest).digest == digest
    assert (tmp_path / "blobs/sha512" / digest.hex).exists()
    assert blobs.verify(digest)


@pytest.mark.parametrize(
    ("chunks", "expected", "size"),
    [
        ([b"other bytes"], DIGEST, None),
        ([b"other"], DIGEST, len(DATA)),
        ([DATA, b"!"], DIGEST, len(DATA)),
        ([DATA[:-1]], None, len(DATA)),
        ([], DIGEST, len(DATA)),
    ],
)
def test_what_does_not_match_is_not_kept(
    blobs: BlobStore, tmp_path: Path, chunks: list[bytes], expected: Digest | None, size: int | None
) -> None:
    with pytest.raises(StoreError) as caught:
        blobs.ingest(chunks, media_type="", expected=expected, size=size)
    assert caught.value.code == "store.digest-mismatch"
    assert blobs.digests() == []
    assert leftovers(tmp_path) == []
    assert blobs.ingest([DATA], media_type="", expected=DIGEST).digest == DIGEST


def test_an_endless_blob_is_refused_as_it_comes(blobs: BlobStore, tmp_path: Path) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1000

    with pytest.raises(StoreError):
        blobs.ingest(endless(), media_type="", expected=DIGEST, size=5000)
    with pytest.raises(StoreError):
        blobs.ingest(endless(), media_type="", limit=5000)
    assert taken == 12
    assert leftovers(tmp_path) == []


def test_the_errors_of_the_source_pass_through(blobs: BlobStore, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some "
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        blobs.ingest(broken(), media_type="")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_said_and_leaves_nothing(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    blobs.add(b"first", media_type="")

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError) as caught:
        blobs.ingest([DATA], media_type="", expected=DIGEST)
    monkeypatch.undo()
    assert caught.value.code == "store.no-space"
    assert "lapstrake prune" in (caught.value.hint or "")
    assert leftovers(tmp_path) == []
    assert not blobs.contains(DIGEST)


def test_a_file_size_limit_is_a_full_disk_too(blobs: BlobStore, tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from builder.store.blobs import BlobStore\n"
        "from builder.errors import StoreError\n"
        "try:\n"
        "    BlobStore(sys.argv[1]).ingest([b'x' * 10000], media_type='')\n"
        "except StoreError as error:\n"
        "    print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
        check=True,
    )
    assert done.stdout.strip() == "store.no-space"
    assert leftovers(tmp_path) == []


def test_damage_on_disk_is_noticed_when_documents_are_read(blobs: BlobStore) -> None:
    blobs.add(DATA, media_type="")
    with open(blobs.path(DIGEST), "r+b") as file:
        file.write(b"S")
    assert not blobs.verify(DIGEST)
    with pytest.raises(StoreError, match="damaged"):
        blobs.read(DIGEST)
    assert not blobs.contains(DIGEST), "no good one would take its place"
    blobs.add(DATA, media_type="")
    assert blobs.verify(DIGEST)


def test_a_truncated_blob_is_replaced(blobs: BlobStore) -> None:
    blobs.add(DATA, media_type="")
    os.truncate(blobs.path(DIGEST), 3)
    blobs.ingest([DATA], media_type="", expected=DIGEST, size=len(DATA))
    assert blobs.verify(DIGEST)


def test_reading_a_document_is_bounded(blobs: BlobStore) -> None:
    digest = blobs.add(b"x" * 100, media_type="").digest
    with pytest.raises(StoreError, match="larger than 99 bytes"):
        blobs.read(digest, limit=99)


def test_foreign_files_in_the_layout_are_ignored(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.add(DATA, media_type="")
    (tmp_path / "blobs/sha256/README").write_text("")
    assert blobs.digests() == [DIGEST]


def test_many_writers_of_one_blob_agree(blobs: BlobStore, tmp_path: Path) -> None:
    data = [bytes([n]) * 50_000 for n in range(20)]
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for piece in data:
                blobs.ingest([piece], media_type="")
        except Exception as error:  # noqa: BLE001  shown below
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(blobs.digests()) == 20
    assert all(blobs.verify(digest) for digest in blobs.digests())
    assert leftovers(tmp_path) == []


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_left_alone(
    blobs: BlobStore, tmp_path: Path
) -> None:
    code = (
        "import sys, time\n"
        "from builder.store.blobs import BlobStore\n"
        "def slow():\n"
        "    yield b'half'\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
        "BlobStore(sys.argv[1]).ingest(slow(), media_type='')\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer, writer.stdout:
        assert writer.stdout.readline() == b"written\n"
        assert blobs.sweep() == 0
        assert len(leftovers(tmp_path)) == 1
        writer.send_signal(signal.SIGKILL)
    assert blobs.sweep() > 0
    assert leftovers(tmp_path) == []
    assert blobs.digests() == []


def test_sweeping_leaves_the_files_of_others(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.add(DATA, media_type="")
    (tmp_path / "tmp/other").write_text("")
    (tmp_path / "tmp/blob-link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "tmp/blob-fifo")
    blobs.sweep()
    assert (tmp_path / "tmp/other").exists()
    assert Path("/etc/passwd").exists()


def test_importing_the_nouns_of_a_cached_build_stays_cheap() -> None:
    code = (
        "import sys\n"
        "import builder.store.blobs, builder.oci.manifest, builder.oci.document, builder.oci.edit\n"
        "import builder.oci.reference, builder.oci.platform\n"
        "dear = {'json', 'subprocess', 'requests', 'pathlib', 'logging', 'dataclasses', 'tarfile',\n"
        "        'zstandard', 'urllib.parse', 'concurrent.futures'}\n"
        "print(sorted(dear & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
