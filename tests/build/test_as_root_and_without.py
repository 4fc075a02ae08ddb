"""One Dockerfile built as root and as an ordinary user: the images are the same, times apart."""

from __future__ import annotations

import os

import pytest

from tests.build.images import Image, Layer
from tests.support.product import Product
from tests.support.unprivileged import missing_for_rootless, public_directory

DOCKERFILE = r"""FROM box AS make
RUN printf 'ann:x:1000:1000::/home/ann:/bin/sh\n' >> /etc/passwd && printf 'staff:x:50:ann\n' >> /etc/group
RUN mkdir -p /o/d && echo a > /o/d/a && ln /o/d/a /o/d/b && chown 3:4 /o/d/a && chmod 4755 /o/d/a \
 && mkdir -m 2770 /o/s && chown 60000:60001 /o/s && touch /o/s/f && ln -s ../d/a /o/s/l \
 && chown -h 5:6 /o/s/l && mkfifo -m 600 /o/p && chmod 3777 /o
RUN chown 1000:50 /etc/passwd && rm -r /var && mkdir /var && chmod 711 /
USER ann
WORKDIR /home/ann/w
RUN id > id && touch -d @981158400 old && umask 077 && mkdir private && echo x > private/x
RUN rm -r private && ln -s nowhere private
FROM box
COPY --from=make / /all/
COPY --from=make --chown=7:8 --chmod=640 /o/d /n
COPY . /context/
COPY --chown=1234:60000 d /owned/
RUN mv /all/o /moved && rm -r /all/bin && : > /tmp/x && chown 65534:65534 /tmp/x
RUN <<EOF
#!/bin/sh
echo "$(id)" > /ids
EOF
"""


def timeless(tree: Layer) -> Layer:
    """Return a tree without the times of its files."""
    return {path: node._replace(mtime=0) for path, node in tree.items()}


def alone(product: Product) -> Product:
    """The product of a user who has no other id, with a store of its own that has the same base."""
    prefix = ("env", "LAPSTRAKE_ISOLATION=single-id")
    other = Product(product.programs, product.root.with_name("one-id"), product.person, prefix)
    archive = product.root.with_name("box-for-one-id.tar")
    product.run("save", "-o", archive, "box")
    other.run("load", "-i", archive)
    return other


@pytest.fixture(scope="module")
def trees(products: dict[str, Product]) -> dict[str, Image]:
    """The image of each user."""
    if set(products) != {"root", "rootless"}:
        pytest.skip(missing_for_rootless() or "building as root needs root")
    images: dict[str, Image] = {}
    one_id = alone(products["rootless"])
    for name, product in {**products, "single-id": one_id}.items():
        with public_directory("lapstrake-twins-", owner=product.person) as ground:
            context = ground / "context"
            (context / "d/e").mkdir(parents=True)
            (context / "d/a").write_text("x")
            (context / "d/a").chmod(0o4711)
            os.link(context / "d/a", context / "d/e/b")
            (context / "d/l").symlink_to("a")
            (context / "Dockerfile").write_text(DOCKERFILE)
            for path in (context, *context.rglob("*")):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | 0o044)
            archive = ground / "image.tar"
            output = f"type=oci,dest={archive},compression=uncompressed"
            product.build(context, "--output", output)
            images[name] = Image(archive)
        product.run("prune", "-f")
    return images


LOST = {
    *("moved/s/l", "all/home/ann/w/private"),  # of links, no owner is remembered
    *("moved/d/a", "moved/d/b", "moved/s", "moved/s/f"),  # `mv` copied them, and saw root's
    *("all/home/ann/w/id", "ids"),  # there are no further groups
}
"""What is not the same where there is but one id."""


@pytest.mark.parametrize(("user", "lost"), [("rootless", set()), ("single-id", LOST)])
def test_files_owners_modes_and_links_are_the_same(
    trees: dict[str, Image], user: str, lost: set[str]
) -> None:
    root, other = (timeless(trees[name].tree) for name in ("root", user))
    assert other.keys() == root.keys()
    print(
        *((p, root[p], other[p]) for p in root if root[p] != other[p] and p not in lost), sep="\n"
    )
    assert {path for path in root if root[path] != other[path]} == lost
    assert root["moved/s"].access == ("2770", 60000, 60001)
    assert root["moved/d/b"].same == "moved/d/a"
    assert root["owned/a"].access == ("4755", 1234, 60000)


def test_layers_and_configuration_are_the_same(trees: dict[str, Image]) -> None:
    root, rootless = trees["root"], trees["rootless"]
    assert root.config == trees["single-id"].config
    assert [timeless(layer) for layer in root.layers] == [
        timeless(layer) for layer in rootless.layers
    ]
    assert root.config == rootless.config
    assert [line["created_by"] for line in root.document["history"][1:]] == [
        line["created_by"] for line in rootless.document["history"][1:]
    ]
