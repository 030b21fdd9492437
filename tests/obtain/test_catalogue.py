import os
import shutil
import threading
from pathlib import Path

import pytest
from indexed_images import listed, write_images

from helpers.obtain import catalogue, image_facts, index
from helpers.obtain.options import Options


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "photos")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def read_files(monkeypatch):
    """Return the names of the files that are read."""
    names, read = [], image_facts.read

    def noted(path):
        names.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(image_facts, "read", noted)
    return names


def change(path, content=None, seconds=10):
    """Write other content of the same size, or none, with a later modification time."""
    status = path.stat()
    if content is not None:
        path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + seconds * 10**9))


def build(folder, cache):
    return index.build(listed(folder), Options(), cache, progress=False)


def test_unchanged_files_are_not_read_again(folder, cache, read_files):
    first = catalogue.fingerprint(listed(folder), cache)
    assert len(read_files) == 6
    read_files.clear()
    assert catalogue.fingerprint(listed(folder), cache) == first
    assert read_files == []


def test_indexed_files_are_not_read_again_for_index_or_fingerprint(folder, cache, read_files):
    table, _ = build(folder, cache)
    assert sorted(read_files) == [f"{number:04}.png" for number in range(6)]
    read_files.clear()
    again, _ = build(folder, cache)
    catalogue.fingerprint(listed(folder), cache)
    assert read_files == []
    assert again.equals(table)


def test_moved_folder_has_the_same_fingerprint(folder, cache, tmp_path):
    first = catalogue.fingerprint(listed(folder), cache)
    folder.rename(tmp_path / "elsewhere")
    assert catalogue.fingerprint(listed(tmp_path / "elsewhere"), cache) == first


@pytest.mark.parametrize(
    "columns", [{"label": ["x"] * 6}, {"part": ["test"] * 6}, {"group": ["a"] * 6}, {"weight": [2.0] * 6}]
)
def test_fingerprint_covers_what_the_listing_says(folder, cache, columns):
    plain = catalogue.fingerprint(listed(folder), cache)
    assert catalogue.fingerprint(listed(folder, **columns), cache) != plain


def test_touched_file_with_the_same_bytes_is_unchanged(folder, cache, read_files):
    first, (table, _) = catalogue.fingerprint(listed(folder), cache), build(folder, cache)
    change(folder / "cat" / "0001.png")
    read_files.clear()
    assert catalogue.fingerprint(listed(folder), cache) == first
    assert read_files == ["0001.png"]
    again, _ = build(folder, cache)
    assert read_files == ["0001.png"], "its hash and its new time are on record"
    assert again.equals(table)


def test_file_changed_at_the_same_size_is_noticed_by_its_time(folder, cache):
    first, (table, _) = catalogue.fingerprint(listed(folder), cache), build(folder, cache)
    target, other = folder / "cat" / "0001.png", (folder / "cat" / "0000.png").read_bytes()
    assert len(other) == target.stat().st_size, "the images are incompressible, so that sizes are equal"
    change(target, other)
    assert catalogue.fingerprint(listed(folder), cache) != first
    again, _ = build(folder, cache)
    assert again["sha256"][1] == table["sha256"][0]
    assert again["brightness"][1] == table["brightness"][0]


def test_change_within_the_same_size_and_time_is_not_noticed(folder, cache):
    """This is the limit of the method, and the module says so."""
    first = catalogue.fingerprint(listed(folder), cache)
    change(folder / "cat" / "0001.png", (folder / "cat" / "0000.png").read_bytes(), seconds=0)
    assert catalogue.fingerprint(listed(folder), cache) == first


def test_added_and_removed_files_are_noticed(folder, cache, read_files):
    first = catalogue.fingerprint(listed(folder), cache)
    shutil.copy2(folder / "cat" / "0000.png", folder / "dog" / "copy.png")
    read_files.clear()
    more = catalogue.fingerprint(listed(folder), cache)
    assert read_files == ["copy.png"]
    (folder / "dog" / "0005.png").unlink()
    assert len({first, more, catalogue.fingerprint(listed(folder), cache)}) == 3


def test_file_that_disappears_after_it_was_listed_does_not_stop_the_fingerprint(folder, cache):
    listing = listed(folder)
    first = catalogue.fingerprint(listing, cache)
    (folder / "dog" / "0005.png").unlink()
    assert catalogue.fingerprint(listing, cache) != first


def test_half_written_and_damaged_files_of_the_catalogue_count_as_absent(folder, cache, read_files):
    first, (table, _) = catalogue.fingerprint(listed(folder), cache), build(folder, cache)
    parts = list(cache.rglob("*.parquet"))
    assert {part.name.partition("-")[0].partition("_")[0] for part in parts} == {"files", "facts"}
    for part in parts:
        part.write_bytes(part.read_bytes()[:-100])
        part.with_name(f".{part.name}.tmp").write_bytes(b"half")
    read_files.clear()
    again, _ = build(folder, cache)
    assert len(read_files) == 6
    assert again.equals(table)
    assert catalogue.fingerprint(listed(folder), cache) == first


def test_later_rows_replace_earlier_ones_even_if_a_compaction_was_killed(folder, cache, monkeypatch):
    catalogue.fingerprint(listed(folder), cache)
    with monkeypatch.context() as patched:
        patched.setattr(catalogue.Record, "compact", lambda self: self.append(self.read().to_pandas()))
        change(folder / "cat" / "0001.png", (folder / "cat" / "0000.png").read_bytes())
        changed = catalogue.fingerprint(listed(folder), cache)
    assert len(list(cache.rglob("files-*.parquet"))) == 3
    assert catalogue.fingerprint(listed(folder), cache) == changed
    assert len(list(cache.rglob("files-*.parquet"))) == 1


def test_facts_are_read_again_when_the_window_or_the_code_changes(folder, cache, read_files, monkeypatch):
    build(folder, cache)
    read_files.clear()
    index.build(listed(folder), Options(window="full"), cache, progress=False)
    assert len(read_files) == 6
    monkeypatch.setattr(index.manifests, "code_sha256", lambda module: "edited")
    read_files.clear()
    index.build(listed(folder), Options(window="full"), cache, progress=False)
    assert len(read_files) == 6
    assert len(list(cache.rglob("facts_*"))) == 1, "those of other code are removed"


def test_second_process_waits_for_the_first_one(folder, cache):
    held = catalogue.Catalogue(cache, folder)
    thread = threading.Thread(target=catalogue.fingerprint, args=(listed(folder), cache))
    with held.locked():
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(30)
    assert not thread.is_alive()
