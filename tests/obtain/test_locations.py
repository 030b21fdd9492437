import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import local_stores
from helpers import paths
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain.options import Options
from helpers.obtain.places import locations
from helpers.obtain.places.download import Network

FILES = local_stores.content(6, 500)
OPTIONS = Options(network=Network(progress=False))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pets(tmp_path) -> Path:
    """A folder of class folders."""
    return local_stores.write(tmp_path / "My pets", FILES)


def zipped(folder: Path, name: str = "pets") -> Path:
    return Path(shutil.make_archive(str(folder.parent / name), "zip", folder.parent, folder.name))


def test_folder_is_where_it_is(pets, cache):
    place = locations.locate(str(pets), OPTIONS)
    assert (place.path, place.title, place.source) == (pets, "My pets", "folder My pets")
    assert place.fingerprint == locations.fingerprint(str(pets), OPTIONS) == ""
    assert not cache.exists()


@pytest.mark.parametrize("ending", paths.TABLES)
def test_table_is_where_it_is(pets, cache, ending):
    table = pets / f"labels{ending.upper()}"
    table.write_text("")
    place = locations.locate(str(table), OPTIONS)
    assert (place.path, place.title, place.source) == (table, "My pets", f"table {table.name}")
    assert not cache.exists()


def test_archive_is_unpacked_into_the_cache_and_its_only_folder_is_stepped_into(pets, cache):
    place = locations.locate(str(zipped(pets)), OPTIONS)
    assert place.path.is_relative_to(cache / "images")
    assert (place.path.name, place.title, place.source) == ("My pets", "pets", "archive pets.zip")
    assert local_stores.read(place.path) == FILES


def test_unchanged_archive_is_neither_unpacked_nor_hashed_again(pets, monkeypatch):
    archive = str(zipped(pets))
    first = locations.locate(archive, OPTIONS)
    monkeypatch.setattr(locations.archives, "unpack", None)
    monkeypatch.setattr(locations.hashlib, "file_digest", None)
    assert locations.locate(archive, OPTIONS) == first
    assert locations.fingerprint(archive, OPTIONS) == first.fingerprint


def test_touched_archive_is_not_unpacked_again(pets, monkeypatch):
    archive = zipped(pets)
    first = locations.locate(str(archive), OPTIONS)
    os.utime(archive, (1, 1))
    monkeypatch.setattr(locations.archives, "unpack", None)
    assert locations.locate(str(archive), OPTIONS) == first


def test_changed_archive_is_noticed_and_replaces_what_was_unpacked(pets):
    first = locations.locate(str(zipped(pets)), OPTIONS)
    (pets / "cat" / "000.png").unlink()
    archive = str(zipped(pets))
    assert locations.fingerprint(archive, OPTIONS) != first.fingerprint
    second = locations.locate(archive, OPTIONS)
    assert second.fingerprint == locations.fingerprint(archive, OPTIONS)
    assert set(FILES) - set(local_stores.read(second.path)) == {"cat/000.png"}


def test_unpacked_file_that_was_removed_is_unpacked_again(pets):
    archive = str(zipped(pets))
    (locations.locate(archive, OPTIONS).path / "cat" / "000.png").unlink()
    assert local_stores.read(locations.locate(archive, OPTIONS).path) == FILES


def test_archives_of_one_name_in_two_folders_do_not_mix(pets, tmp_path):
    other = local_stores.write(tmp_path / "other" / "pets", {"a/1.png": b"1", "b/1.png": b"2"})
    first, second = (locations.locate(str(zipped(folder)), OPTIONS) for folder in (pets, other))
    assert local_stores.read(first.path) == FILES
    assert local_stores.read(second.path) == {"a/1.png": b"1", "b/1.png": b"2"}


def test_archive_above_the_bound_is_refused(pets):
    with pytest.raises(AcquisitionError, match="unpack_gb"):
        locations.locate(str(zipped(pets)), Options(unpack_gb=1e-6))


def test_cache_that_cannot_be_written_is_reported_in_a_sentence(pets, cache):
    cache.write_text("a file")
    with pytest.raises(AcquisitionError, match=r"cache folder .* cannot be written to: .*directory"):
        locations.locate(str(zipped(pets)), OPTIONS)


def test_kill_while_unpacking_leaves_nothing_that_counts_as_complete(pets, cache):
    for number in range(400):
        (pets / "cat" / f"more-{number}.png").write_bytes(bytes(20_000))
    archive = str(zipped(pets))
    program = "import sys; from helpers.obtain import options; from helpers.obtain.places import locations; "
    program += "locations.locate(sys.argv[1], options.Options())"
    for wanted in (4, 100, 250):
        process = subprocess.Popen([sys.executable, "-c", program, archive])
        while process.poll() is None and sum(len(names) for *_, names in os.walk(cache)) < wanted:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
        assert not list(cache.glob("images/*/place.json"))
        assert not list(cache.glob("images/*/unpacked"))
    assert local_stores.read(locations.locate(archive, OPTIONS).path) == local_stores.read(pets)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("no/such/pets.zip", "There is no file 'no/such/pets.zip'"),
        ("pets.csv", "There is no file 'pets.csv'"),
        ("no/such/folder", "There is no folder 'no/such/folder'"),
        ("ftp://host/pets", "'ftp://' are not supported"),
        ("", "is empty"),
        ("s3://", "'s3://' does not name a place"),
        ("s3://bucket/../other", "does not name a place"),
        ("hf://owner/pets", "hf://datasets/OWNER/NAME"),
        ("hf://datasets/pets", "hf://datasets/OWNER/NAME"),
    ],
)
def test_what_is_not_a_place_is_a_wrong_call(dataset, said):
    for call in (locations.locate, locations.fingerprint):
        with pytest.raises(UsageError, match=said):
            call(dataset, OPTIONS)


def test_file_of_another_kind_is_a_wrong_call(tmp_path):
    (tmp_path / "pets.rar").write_bytes(b"")
    with pytest.raises(UsageError, match=r"not a table or an archive by its name(?s:.*)\.zip"):
        locations.locate(str(tmp_path / "pets.rar"), OPTIONS)


SECRET = "hunter2"


@pytest.mark.parametrize(
    "address",
    [
        f"https://me:{SECRET}@host/pets",
        f"https://me:{SECRET}/x@host/pets",
        f"https://me:{SECRET}#x@host/pets",
        f"https://{SECRET}@host/pets",
        f"s3://key:{SECRET}@bucket/pets",
        f"https://bucket.host/pets.zip?X-Amz-Credential=a&X-Amz-Signature={SECRET}",
        f"https://host/pets.zip?sv=2024&sig={SECRET}",
        f"https://host/pets.zip?access_token={SECRET}",
        f"https://host/pets.zip#token={SECRET}",
    ],
)
def test_address_with_credentials_is_refused_without_repeating_them(address):
    for call in (paths.project_dataset, paths.check_dataset, lambda name: locations.locate(name, OPTIONS)):
        with pytest.raises(UsageError, match="in the environment") as raised:
            call(address)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("dataset", "slug"),
    [
        ("photos/My Pets.zip", "my_pets"),
        ("/data/pets.tar.gz", "pets"),
        ("/data/pets.tgz", "pets"),
        ("/data/pets/labels.csv", "pets"),
        ("/data/pets/data/Train.parquet", "pets"),
        ("/data/pets/breeds.csv", "breeds"),
        ("/data/pets", "pets"),
        ("s3://bucket/photos/pets", "pets"),
        ("s3://bucket/photos/pets/train.csv", "pets"),
        ("gs://pet-bucket", "pet_bucket"),
        ("https://host/pets.zip?download=1", "pets"),
        ("https://host.org:8080/sets/pets", "pets"),
        ("hf://datasets/owner/pets", "pets"),
        ("hf://datasets/owner/pets/metadata.jsonl", "pets"),
    ],
)
def test_own_images_are_filed_under_a_name_that_says_what_they_are(dataset, slug):
    assert paths.dataset_slug(dataset) == slug


def test_address_is_shown_without_user_and_query():
    assert paths.shown_dataset("https://me:x@host/a/pets.zip?sig=1#2") == "https://host/a/pets.zip"
    assert paths.shown_dataset("pictures/pets") == "pictures/pets"


def test_address_stays_as_typed_and_a_local_file_is_named_from_the_root(project, monkeypatch):
    inside = local_stores.write(project.root / "pictures", {"pets.zip": b"", "pets/labels.csv": b""})
    monkeypatch.chdir(inside)
    assert paths.project_dataset("") == "", "not the working folder"
    assert paths.project_dataset("s3://bucket/pets/") == "s3://bucket/pets"
    assert paths.project_dataset("pets.zip") == "pictures/pets.zip"
    assert paths.project_dataset("pets/labels.csv") == "pictures/pets/labels.csv"
