"""--ca-cert: what steps trust besides the image's own, and that no image keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import UsageError
from builder.layer.certificates import anchor_name, pem, read_certificates
from builder.settings import Settings
from tests.build.looked import Looked
from tests.build.workshop import Built, Workshop, workshop_in
from tests.support.certificates import der, make_authority

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
ANCHORS = "/usr/local/share/ca-certificates"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a company."""
    return make_authority(tmp_path_factory.mktemp("authority"), "company")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate that the image trusts."""
    return make_authority(tmp_path_factory.mktemp("other"), "of-the-image")


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, authority: Path, other: Path
) -> Iterator[Workshop]:
    """A store whose builds trust the company, with an image `like-debian` that has a bundle of its own."""
    with workshop_in(tmp_path_factory.mktemp("shop"), ca_certs=(str(authority),)) as found:
        context = tmp_path_factory.mktemp("context")
        (context / "bundle").write_bytes(other.read_bytes())
        found.build(
            context,
            f"""
            FROM base
            COPY --chmod=640 --chown=0:50 bundle {BUNDLE}
            RUN echo 12.5 >/etc/debian_version && touch -d @1000000000 {BUNDLE} /etc/ssl/certs /etc/ssl /etc
            """,
            tags=("like-debian",),
        )
        yield found


def kept(built: Built) -> dict[str, object]:
    """Return what the last layer holds."""
    return dict(built.image.layers[-1])


def test_a_step_finds_the_certificate_in_the_bundle_and_among_the_anchors(
    shop: Workshop, context: Path, authority: Path, other: Path
) -> None:
    built = shop.build(
        context,
        f"FROM like-debian\nRUN cat {BUNDLE} && stat -c %a:%u:%g:%Y {BUNDLE} && ls {ANCHORS}",
    )
    said = built.watch.output()
    assert read_certificates(said.encode()) == (der(other), der(authority))
    assert said.endswith(f"640:0:50:1000000000\n{anchor_name(der(authority))}\n")
    assert kept(built) == {}


def test_variables_tell_programs_that_bring_their_own(shop: Workshop, context: Path) -> None:
    built = shop.build(
        context, "FROM like-debian\nENV PIP_CERT=/mine\nRUN env | grep -E 'CERT|SSL|CA' | sort"
    )
    said = dict(line.split("=", 1) for line in built.watch.output().splitlines())
    assert said["SSL_CERT_FILE"] == said["NODE_EXTRA_CA_CERTS"] == said["GIT_SSL_CAINFO"] == BUNDLE
    assert said["PIP_CERT"] == "/mine"
    assert [each for each in built.image.config["Env"] if "SSL" in each] == []


def test_an_image_without_a_bundle_is_shown_one(
    shop: Workshop, context: Path, authority: Path
) -> None:
    built = shop.build(context, "RUN cat $SSL_CERT_FILE")
    assert read_certificates(built.watch.output().encode()) == (der(authority),)
    assert kept(built) == {}


UPDATE = f"""cat {ANCHORS}/*.crt >>/tmp/new && mv /tmp/new {BUNDLE}
    && for each in {ANCHORS}/*.crt; do n=$(basename $each .crt); ln -s $each /etc/ssl/certs/$n.pem
    && ln -s $n.pem /etc/ssl/certs/0123abcd.$((i++)); done"""


def test_what_a_step_makes_of_the_bundle_is_kept_without_the_certificate(
    shop: Workshop, context: Path, authority: Path, other: Path
) -> None:
    third = make_authority(context, "third")
    script = " ".join(UPDATE.split())
    built = shop.build(
        context,
        f"""
        FROM like-debian
        COPY third.pem {ANCHORS}/third.crt
        RUN cp {BUNDLE} /tmp/new && i=0 && {script} && ls /etc/ssl/certs && cp {BUNDLE} /copy
        """,
    )
    assert "lapstrake-" in built.watch.output()
    layer = built.image.layers[-1]
    assert "lapstrake" not in " ".join(layer)
    for path in (BUNDLE[1:], "copy"):
        data = layer[path].data
        assert data is not None
        assert set(read_certificates(data)) == {der(other), der(third)}
    assert [name for name in layer if "0123abcd" in name] == ["etc/ssl/certs/0123abcd.1"]
    assert der(authority) not in read_certificates(layer["copy"].data)


def test_what_a_step_removes_and_the_image_never_had_leaves_no_trace(
    shop: Workshop, context: Path
) -> None:
    built = shop.build(context, f"FROM like-debian\nRUN rm -r {ANCHORS} && rm {BUNDLE}")
    assert [name for name in kept(built) if "/.wh." in name] == [
        "etc/ssl/certs/.wh.ca-certificates.crt"
    ]


def test_a_certificate_that_the_image_trusts_itself_stays(
    shop: Workshop, context: Path, authority: Path
) -> None:
    (context / "company.crt").write_bytes(authority.read_bytes())
    built = shop.build(
        context,
        f"""
        FROM like-debian
        COPY company.crt {ANCHORS}/company.crt
        RUN cat {ANCHORS}/company.crt >>{BUNDLE}
        """,
    )
    data = built.image.layers[-1][BUNDLE[1:]].data
    assert data is not None
    assert der(authority) in read_certificates(data)
    assert pem(der(authority)) not in data


def test_files_of_the_steps_own_are_left_alone(shop: Workshop, context: Path) -> None:
    built = shop.build(
        context, "FROM like-debian\nRUN echo x >/lapstrake-0.1.whl && ln -s lapstrake-x /l"
    )
    assert set(kept(built)) == {"l", "lapstrake-0.1.whl"}


def test_certificates_run_nothing_again(
    shop: Workshop, context: Path, tmp_path: Path, authority: Path
) -> None:
    with workshop_in(tmp_path) as plain:
        plain.build(context, "RUN echo x >/x")
        settings = Settings(
            root=str(plain.root), docker_config=str(tmp_path), ca_certs=(str(authority),)
        )
        plain.engine._settings = settings
        assert plain.build(context).executed == []


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    from builder.engine.trust import certificates

    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(UsageError, match="holds no certificate"):
        certificates((str(tmp_path / "empty"),))
    with pytest.raises(UsageError, match="cannot be read"):
        certificates((str(tmp_path / "missing"),))


def test_what_a_failed_step_wrote_is_kept_without_the_certificate_and_looked_into_with_it(
    shop: Workshop, context: Path, authority: Path, other: Path
) -> None:
    text = f"FROM like-debian\nRUN cp {BUNDLE} /copied; echo mine >> {BUNDLE}; exit 1"
    shop.refused(context, text, keep_failed=True)
    looked = Looked(shop, "/bin/cat", BUNDLE)
    assert read_certificates(looked.out.encode()) == (der(other), der(authority))
    (name,) = shop.engine.builds()[0].kept
    layer = shop.engine._store.layers.get(name)
    assert layer is not None
    assert layer.entries > 0
    for path in (shop.root / "layers").glob("*/fs/copied"):
        assert der(authority) not in read_certificates(path.read_bytes())
