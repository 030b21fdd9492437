import gzip
import io
import shutil
import stat
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

import local_stores
from helpers.errors import AcquisitionError
from helpers.obtain.places import archives

FILES = local_stores.content(6, 500)
KINDS = ("zip", "tar", "tar.gz", "tgz")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder inside another one, so that what leaves it is seen."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in files.items():
            archive.addfile(member(name, size=len(data)), io.BytesIO(data))
    return path


def member(name: str, **facts: object) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    for fact, value in facts.items():
        setattr(item, fact, value)
    return item


def unpack(archive: Path, unpack_gb: float = 1.0) -> dict[str, bytes]:
    target = archive.parent / "unpacked"
    archives.unpack(archive, target, archive.parent / ".incoming", unpack_gb)
    return local_stores.read(target)


def refused(archive: Path, said: str, unpack_gb: float = 1.0) -> None:
    """Check that an archive is refused with a sentence, and that nothing of it is taken for complete."""
    around = archive.parent.parent
    before = {path for path in around.rglob("*") if ".incoming" not in path.parts}
    with pytest.raises(AcquisitionError, match=said):
        unpack(archive, unpack_gb)
    assert {path for path in around.rglob("*") if ".incoming" not in path.parts} == before


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_unpacked_as_it_was_packed(here, kind):
    assert unpack(packed(here / f"pets.{kind}", FILES)) == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_files_are_skipped(here, kind):
    hidden = ("__MACOSX/cat/._1.png", ".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", ".git/config")
    assert unpack(packed(here / f"pets.{kind}", FILES | dict.fromkeys(hidden, b"x"))) == FILES


def test_older_content_is_replaced(here):
    unpack(packed(here / "pets.zip", FILES | {"cat/gone.png": b"x"}))
    assert unpack(packed(here / "pets.zip", FILES)) == FILES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../out.png", "cat/../../out.png", "/out.png", "C:/out.png", "..\\out.png"])
def test_member_outside_the_target_is_refused(here, kind, name):
    refused(packed(here / f"pets.{kind}", {**FILES, name: b"x"}), "outside the target folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_link_or_device_in_a_tar_is_refused(here, kind):
    with tarfile.open(here / "pets.tar", "w") as archive:
        archive.addfile(member("cat/link.png", type=kind, linkname="/etc/passwd"))
    refused(here / "pets.tar", "'cat/link.png' is a link or a device")


def test_link_in_a_zip_is_refused(here):
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(here / "pets.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(here / "pets.zip", "is a link or a device")


def test_encrypted_member_is_refused(here):
    data = bytearray(packed(here / "pets.zip", {"a.png": b"x"}).read_bytes())
    data[6] |= 1  # the flag in the header of the member, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (here / "pets.zip").write_bytes(data)
    refused(here / "pets.zip", "'a.png' is encrypted")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bomb_is_refused_before_it_fills_the_disk(here, kind):
    bomb = packed(here / f"bomb.{kind}", {"a.png": bytes(3_000_000), "b.png": bytes(3_000_000)})
    shutil.rmtree(here / ".incoming", ignore_errors=True)
    refused(bomb, "more than the 0.005 GB that unpack_gb of 01_acquire allows", unpack_gb=0.005)
    assert sum(path.stat().st_size for path in (here / ".incoming").rglob("*.png")) <= 5_000_000


def test_sizes_stated_in_a_zip_are_not_trusted(here):
    with zipfile.ZipFile(here / "pets.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1_000_000))
    data = (here / "pets.zip").read_bytes()
    (here / "pets.zip").write_bytes(
        data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    )
    refused(here / "pets.zip", "damaged or incomplete")


def test_too_many_members_are_refused(here, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    refused(packed(here / "pets.tar", FILES), "more than 5 members")


def test_header_that_asks_for_gigabytes_of_memory_is_refused(here):
    with gzip.open(here / "pets.tgz", "wb") as stream:  # 2 GB of extended header, said but not there
        stream.write(member("x", type=tarfile.XHDTYPE, size=2_000_000_000).tobuf(tarfile.GNU_FORMAT))
        stream.write(bytes(10_000))
    refused(here / "pets.tgz", "asks for more memory")


@pytest.mark.parametrize("kind", KINDS)
def test_archive_cut_short_anywhere_is_refused(here, kind):
    """tarfile takes an archive that is cut off between two members for a complete one."""
    content = packed(here / f"full.{kind}", FILES).read_bytes()
    step = 512 if kind == "tar" else max(1, len(content) // 25)
    ends = range(0, len(content) - 10_240 if kind == "tar" else len(content), step)
    for end in ends:
        (here / f"pets.{kind}").write_bytes(content[:end])
        refused(here / f"pets.{kind}", "damaged or incomplete")


@pytest.mark.parametrize("kind", KINDS)
def test_changed_byte_is_never_unpacked_as_if_nothing_had_happened(here, kind):
    """An uncompressed tar has checksums of its headers only, so that only bytes outside of files are changed there."""
    content = packed(here / f"full.{kind}", FILES).read_bytes()
    archive = here / f"pets.{kind}"
    places = range(0, 512 * 4, 97) if kind == "tar" else range(20, len(content) - 60, len(content) // 40)
    for place in places:
        archive.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            got = unpack(archive)
        except AcquisitionError:
            continue
        sizes = sorted(map(len, got.values())) == sorted(map(len, FILES.values()))
        assert sorted(got.values()) == sorted(FILES.values()) or (kind == "tar" and sizes)


def test_file_that_is_not_an_archive_is_refused(here):
    for kind in KINDS:
        (here / f"pets.{kind}").write_bytes(b"<html>not found</html>" * 100)
        refused(here / f"pets.{kind}", "damaged or incomplete")


def test_member_that_is_both_file_and_folder_is_refused(here):
    refused(packed(here / "pets.zip", {"cat": b"x", "cat/1.png": b"y"}), "cannot be unpacked")


def test_folder_that_holds_everything_is_stepped_into(here):
    local_stores.write(here, {"download/pets/cat/1.png": b"x", "download/pets/dog/1.png": b"y"})
    assert archives.content(here) == here / "download" / "pets"
    (here / "labels.csv").write_text("")
    assert archives.content(here) == here


def test_full_disk_is_reported_in_a_sentence(here):
    """A limit on the size of files makes the system refuse to write, as on a full disk."""
    archive = packed(here / "pets.zip", {"a.png": bytes(3_000_000)})
    program = f"""
        import resource, signal
        from pathlib import Path
        from helpers.obtain.places import archives
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        archives.unpack(Path({str(archive)!r}), Path({str(here / "unpacked")!r}), Path({str(here)!r}) / "in", 1.0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert "There is not enough space on the disk for pets.zip" in done.stderr
    assert not (here / "unpacked").exists()
