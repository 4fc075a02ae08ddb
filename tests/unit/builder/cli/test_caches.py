"""The words of `--cache-from` and `--cache-to`; what is refused is shown in `tests/build/test_shared_caches.py`."""

from __future__ import annotations

import pytest

from builder.cli.caches import sources_of, targets_of
from builder.solve.given import SharedCache


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("host/name:tag", SharedCache(type="registry", where="host/name:tag")),
        ("type=registry,ref=host/name", SharedCache(type="registry", where="host/name")),
        ("type=local,src=a,required", SharedCache(type="local", where="a", required=True)),
        (
            "type=local,src=a,ignore-error=false",
            SharedCache(type="local", where="a", required=True),
        ),
        ("type=local,src=a,ignore-error=true", SharedCache(type="local", where="a")),
        (
            "type=local,src=a,mounts=one,mounts=two",
            SharedCache(type="local", where="a", mounts=("one", "two")),
        ),
        ('"type=local","src=a,b"', SharedCache(type="local", where="a,b")),
    ],
)
def test_what_a_build_reads(word: str, wanted: SharedCache) -> None:
    assert sources_of([word]) == (wanted,)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("type=inline", SharedCache(type="inline", where="")),
        ("inline", SharedCache(type="inline", where="")),
        (
            "type=local,dest=a,mode=max,compression=zstd,max-mount-size=500m",
            SharedCache(
                type="local", where="a", every_step=True, compression="zstd", mount_limit=500 << 20
            ),
        ),
        (
            "type=registry,ref=a,image-manifest=true,oci-mediatypes=true,mode=min",
            SharedCache(type="registry", where="a"),
        ),
    ],
)
def test_what_a_build_adds_to(word: str, wanted: SharedCache) -> None:
    assert targets_of([word]) == (wanted,)
