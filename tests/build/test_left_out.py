"""What cannot be had in full is told by name: devices, set-id bits, base images."""

from __future__ import annotations

import tarfile
from pathlib import Path

from builder.engine.requests import BuildRequest, Output
from tests.build.test_add import Archive
from tests.build.workshop import Watch, Workshop
from tests.support.product import Product, report


def special() -> bytes:
    archive = Archive().add("dev/null", kind=tarfile.CHRTYPE, device=(1, 3), owner=(0, 0))
    archive.add("dev/loop", kind=tarfile.BLKTYPE, device=(7, 0), owner=(0, 0))
    return archive.add("su", "x", mode=0o4755).add("plain", "p").data()


def test_a_directory_output_names_the_devices_and_set_id_bits_that_it_is_without(
    product: Product, ours: Path
) -> None:
    (ours / "a.tar").write_bytes(special())
    (ours / "Dockerfile").write_text("FROM scratch\nADD a.tar /o/\n")
    done = product.build(ours, "-o", f"type=local,dest={ours / 'out'}")
    assert done.stderr.count("warning[export.left-out]") == 1, report(done)
    assert "devices: `o/dev/loop`, `o/dev/null`" in done.stderr
    assert "the set-id bits of `o/su`" in done.stderr
    assert "plain`" not in done.stderr
    assert sorted(path.name for path in (ours / "out/o").rglob("*")) == ["dev", "plain", "su"]


def test_a_tar_output_holds_the_devices_of_an_image_whoever_builds(
    product: Product, ours: Path
) -> None:
    archive = Archive()
    for name in ("kept", "replaced", "d/below", "o/hidden"):
        archive.add(name, kind=tarfile.CHRTYPE, device=(1, 3), owner=(0, 7), mode=0o640)
    (ours / "a.tar").write_bytes(archive.add("l", "l").data())
    (ours / "Dockerfile").write_text(
        "FROM box\nADD a.tar /x/\nRUN cd /x && rm -rf d o && mkdir o && echo r >r && mv -f r replaced\n"
    )
    product.build(ours, "-o", f"type=tar,dest={ours / 'o.tar'}")
    with tarfile.open(ours / "o.tar") as tar:
        found = [each for each in tar if each.name.startswith("x/")]
    names = [each.name for each in found]
    kept = next(each for each in found if each.name == "x/kept")
    assert names == ["x/kept", "x/l", "x/o", "x/replaced"]
    assert kept.ischr()
    assert (kept.devmajor, kept.devminor, kept.gid, kept.mode) == (1, 3, 7, 0o640)
    assert found[-1].isreg()


def test_an_output_that_holds_everything_is_written_without_a_warning(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    (context / "a.tar").write_bytes(special())
    workshop.write(context, "FROM scratch\nADD a.tar /o/\n")
    outputs = (
        Output(type="tar", dest=str(tmp_path / "o.tar")),
        Output(type="local", dest=str(tmp_path / "o")),
    )
    asked = [BuildRequest(context=str(context), outputs=(each,)) for each in outputs]
    whole, part = (workshop.engine.build(each, Watch()) for each in asked)
    assert [each.code for each in (*whole.warnings, *part.warnings)] == ["export.left-out"]


def test_a_long_list_of_what_is_left_out_is_counted(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    workshop.write(
        context,
        "FROM base\nRUN mkdir /s; for i in 1 2 3 4 5 6 7; do echo >/s/$i; chmod 2755 /s/$i; done\n",
    )
    output = Output(type="local", dest=str(tmp_path / "o"))
    result = workshop.engine.build(BuildRequest(context=str(context), outputs=(output,)), Watch())
    (warning,) = result.warnings
    listed = ", ".join(f"`s/{number}`" for number in range(1, 6))
    assert warning.notes == (f"the set-id bits of {listed} and 2 more",)


def test_devices_in_the_archive_of_a_context_are_kept_by_root_and_told_by_others(
    product: Product, ours: Path
) -> None:
    archive = Archive().add("Dockerfile", "FROM scratch\nCOPY dev /\n")
    archive.add("dev/null", kind=tarfile.CHRTYPE, device=(1, 3), owner=(0, 0)).add("dev/f", "f")
    (ours / "c.tar").write_bytes(archive.data())
    (ours / "c.tar").chmod(0o644)
    command = " ".join(product.command("build", "--progress", "plain", "-o"))
    into = f"type=tar,dest={ours / 'o.tar'}"
    done = product.person.run(["sh", "-c", f"{command} {into} - < {ours / 'c.tar'}"])
    assert done.returncode == 0, report(done)
    with tarfile.open(ours / "o.tar") as tar:
        names = sorted(tar.getnames())
    if product.person.uid == 0:
        assert names == ["f", "null"]
        assert "context.left-out" not in done.stderr
    else:
        assert names == ["f"]
        assert done.stderr.count("warning[context.left-out]") == 1
        assert "`dev/null`" in done.stderr


def test_a_base_image_that_nobody_has_is_told_with_what_the_store_has(
    workshop: Workshop, context: Path
) -> None:
    base = "localhost:1/team/tool"
    workshop.build(context, "FROM base\nRUN echo tool > /t", tags=(f"{base}:1.2",))
    error = workshop.refused(context, f"FROM {base}:1.3\n")
    assert error.code == "registry.unavailable"
    assert error.message == f"`{base}:1.3` is neither in the store nor can it be pulled"
    assert error.notes[0] == "cannot reach the registry at `localhost:1`"
    assert error.hint == f"the store has `{base}:1.2`: name one of them"
    assert error.span is not None
    error = workshop.refused(context, "FROM localhost:1/team/tol\n")
    assert error.hint == f"the store has `{base}:1.2`: name one of them"
    error = workshop.refused(context, "FROM localhost:1/other\n")
    assert "name one of them" not in (error.hint or "")


def test_a_base_image_that_the_store_has_for_another_platform_is_told(
    workshop: Workshop, context: Path
) -> None:
    name = "localhost:1/elsewhere:1"
    workshop.build(context, "FROM scratch\nCOPY . /\n", tags=(name,), platforms=("linux/s390x",))
    error = workshop.refused(context, f"FROM {name}\n", platforms=("linux/riscv64",))
    assert "the store has it for linux/s390x alone" in error.notes


def test_what_the_store_has_is_no_answer_where_the_registry_is_to_be_asked(
    workshop: Workshop, context: Path
) -> None:
    workshop.build(context, "FROM base\nRUN true", tags=("localhost:1/here",))
    error = workshop.refused(context, "FROM localhost:1/here\n", pull=True)
    assert error.message == "cannot reach the registry at `localhost:1`"
