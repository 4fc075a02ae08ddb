"""A file system of a given size in a mount namespace of its own, and the product in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.ground import Setting
from tests.support.product import Product

ATTRIBUTE = "import os, sys; os.setxattr(sys.argv[1], 'user.test', b'')"


class SmallDisk:
    """A tmpfs that only the process `holder`, and who joins it, can see at `place`."""

    def __init__(self, holder: int, place: Path) -> None:
        self._holder = holder
        self.place = place

    @property
    def seen(self) -> Path:
        """Return where the tests see it."""
        return Path(f"/proc/{self._holder}/root{self.place}")

    def setting(self, setting: Setting) -> Setting:
        """Return the product of `setting` with its store on this disk; the archive stays where it was."""
        product = _Joined(setting.product, self.place / "store", self._holder)
        return setting._replace(product=product)

    def fill(self, leave: int) -> None:
        """Take all space but `leave` bytes."""
        found = os.statvfs(self.seen)
        with open(self.seen / "filler", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - leave))

    def fill_names(self, leave: int) -> None:
        """Take all inodes but `leave`."""
        (self.seen / "names").mkdir()
        for number in range(os.statvfs(self.seen).f_favail - leave):
            (self.seen / "names" / str(number)).symlink_to("x")

    def free(self) -> None:
        """Give back what `fill` and `fill_names` took."""
        (self.seen / "filler").unlink(missing_ok=True)
        if (self.seen / "names").exists():
            for path in (self.seen / "names").iterdir():
                path.unlink()
            (self.seen / "names").rmdir()

    def empty(self) -> None:
        """Remove everything."""
        subprocess.run(["rm", "-rf", *self.seen.iterdir()], check=True)


class _Joined(Product):
    """A product whose commands run in another mount namespace."""

    def __init__(self, product: Product, root: Path, holder: int) -> None:
        person = product.person
        super().__init__(product.programs, root, person._replace(uid=os.geteuid()))
        self._words = ["nsenter", f"--target={holder}", "--mount", "--", "setpriv"]
        self._words += [f"--reuid={person.uid}", f"--regid={person.gid}", "--clear-groups", "--"]

    def command(self, *arguments: str | Path) -> list[str]:
        return [*self._words, *super().command(*arguments)]


@contextmanager
def small_disk(
    place: Path, owner: int, *, size: str = "48m", inodes: int = 4000
) -> Iterator[SmallDisk]:
    """Mount a small disk at `place`, in a namespace that ends with the block."""
    script = f"mount -t tmpfs -o size={size},nr_inodes={inodes},mode=755,uid={owner} small {place}"
    with subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            f"{script} && echo up && read x",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        try:
            yield SmallDisk(holder.pid, place)
        finally:
            holder.communicate("\n")
