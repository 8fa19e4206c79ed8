"""What a tar archive may write where it is unpacked, on each Python that the lab runs on."""

import io
import tarfile
from pathlib import Path

import pytest

from vmlab import untar


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    made.uid, made.gid, made.uname, made.gname = 12345, 12345, "nobody", "nogroup"
    return made


def unpacked(directory: Path, *members: tarfile.TarInfo, links_inside: bool = True) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in members:
            one.size = 4 if one.isreg() else 0
            tar.addfile(one, io.BytesIO(b"text"))
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        for one in tar:
            untar.extract(tar, one, directory, links_inside)


@pytest.mark.parametrize(
    ("mode", "becomes"), [(0o4777, 0o755), (0o666, 0o644), (0o611, 0o600), (0o400, 0o600)]
)
def test_files_come_out_as_the_user_s_who_unpacks_and_nobody_else_may_write(
    tmp_path, mode, becomes
):
    directory, link = member("a", tarfile.DIRTYPE, mode=0o1777), member("l", tarfile.SYMTYPE, "a/x")
    unpacked(tmp_path, directory, member("/a/x", mode=mode), link)
    about = (tmp_path / "a" / "x").stat()
    assert (about.st_mode & 0o7777, about.st_uid) == (becomes, tmp_path.stat().st_uid)
    assert ((tmp_path / "a").stat().st_mode & 0o7777, (tmp_path / "l").read_text()) == (
        0o755, "text",
    )  # fmt: skip


@pytest.mark.parametrize(
    "members",
    [
        (member("../x"),),
        (member("a/../../x"),),
        (member("x", tarfile.SYMTYPE, "/etc"),),
        (member("x", tarfile.SYMTYPE, "../.."),),
        (member("x", tarfile.LNKTYPE, "../x"),),
        (member("x", tarfile.CHRTYPE),),
        (member("x", tarfile.FIFOTYPE),),
    ],
    ids=lambda some: f"{some[0].name} {some[0].linkname}",
)
def test_what_would_lie_or_point_elsewhere_is_refused(tmp_path, members):
    within = tmp_path / "within"
    within.mkdir()
    with pytest.raises(untar.Unsafe):
        unpacked(within, *members)
    assert list(tmp_path.rglob("*")) == [within]


def test_nothing_is_written_through_a_link_that_leads_elsewhere(tmp_path):
    """A root directory's links may; what is below them may not."""
    within = tmp_path / "within"
    within.mkdir()
    link = member("out", tarfile.SYMTYPE, str(tmp_path))
    with pytest.raises(untar.Unsafe, match="out/x would be outside"):
        unpacked(within, link, member("out/x"), links_inside=False)
    assert (within / "out").is_symlink() and not (tmp_path / "x").exists()


def test_it_does_without_the_filters_that_debian_12_s_python_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(untar, "_CHECKED", {})
    unpacked(tmp_path, member("x"))
    assert (tmp_path / "x").read_text() == "text"
