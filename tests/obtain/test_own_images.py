"""One's own images from the place to the arrays: index, parts, copies, what was left out."""

import dataclasses
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.errors import AcquisitionError, OsemnError, UsageError
from helpers.obtain import copies, data_card, index, sources
from helpers.obtain.layouts import recognise
from helpers.obtain.options import Options
from helpers.obtain.places import download
from photographs import class_folders, photograph, write

QUIET = Options(image_size=16, network=download.Network(progress=False))


def acquire(place, **options):
    return sources.acquire(str(place), dataclasses.replace(QUIET, **options))


def fingerprint(place, **options):
    return sources.fingerprint(str(place), dataclasses.replace(QUIET, **options))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def pets(tmp_path):
    return class_folders(tmp_path / "my pets", {"cat": 20, "dog": 20})


def test_each_image_has_a_row_in_the_order_of_the_arrays(pets):
    acquired = acquire(pets)
    assert (len(acquired.train), len(acquired.test)) == (32, 8)
    for dataset, rows in (
        (acquired.train, acquired.index[acquired.index["part"] != "test"]),
        (acquired.test, acquired.index[acquired.index["part"] == "test"]),
    ):
        rows = rows.sort_values("row")
        assert rows["row"].tolist() == list(range(len(dataset)))
        assert [dataset.class_names[label] for label in dataset.labels] == rows["label"].tolist()
        with Image.open(pets / rows["path"].iloc[3]) as image:
            mean = np.asarray(image.crop((4, 0, 44, 40)), float).mean(axis=(0, 1))
        assert np.abs(dataset.images[3].mean(axis=(0, 1)) - mean).max() < 4


def test_both_parts_hold_the_classes_mixed(pets):
    for part in (acquire(pets).train, acquire(pets).test):
        assert np.abs(np.diff(part.labels)).sum() > 1, "one class after the other"


def test_the_split_follows_the_seed_and_nothing_else(pets):
    first, again, other = (acquire(pets, seed=seed).card["sha256"] for seed in (1, 1, 2))
    assert first == again != other


def test_copies_of_an_image_are_in_one_part_whatever_the_seed(pets):
    for number in range(10):
        shutil.copy(pets / "cat" / f"{number:03}.png", pets / "cat" / f"copy of {number}.png")
        photograph(20 + number).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
            pets / "dog" / f"mirrored {number}.jpg", quality=60
        )
    for seed in range(5):
        acquired = acquire(pets, seed=seed)
        assert acquired.card["images_with_copies"] == 40
        assert acquired.card["test_images_related_to_training"] == 0
        assert acquired.index.groupby("together")["part"].nunique().max() == 1


def test_groups_by_a_pattern_stay_together(tmp_path):
    for seed in range(60):
        write(tmp_path / "set" / ("ill", "well")[seed % 2] / f"patient{seed // 6:02}_{seed}.png", seed)
    acquired = acquire(tmp_path / "set", group_by=r"pattern:(patient\d+)")
    assert acquired.index.groupby("group")["part"].nunique().max() == 1
    assert acquired.index["group"].nunique() == 10


def test_ready_made_parts_are_kept_and_copies_across_them_listed(tmp_path):
    root = tmp_path / "ready"
    for number, part in enumerate(("train", "val", "test")):
        class_folders(root / part, {"cat": 6, "dog": 6}, first_seed=100 * number)
    shutil.copy(root / "train" / "cat" / "000.png", root / "test" / "cat" / "again.png")
    acquired = acquire(root)
    assert acquired.index.groupby("part")["id"].size().to_dict() == {
        "train": 12,
        "validation": 12,
        "test": 13,
    }
    assert (len(acquired.train), len(acquired.test)) == (24, 13)
    assert acquired.card["test_images_also_in_training"] == 1
    assert "1 of the 13 test images" in data_card.conclude_overlap(acquired.card).text


def test_a_part_that_is_missing_is_split_off(tmp_path):
    class_folders(tmp_path / "only train" / "train", {"cat": 30, "dog": 30})
    assert acquire(tmp_path / "only train").index.groupby("part").size().to_dict() == {
        "test": 12,
        "train": 48,
    }


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_an_archive_is_the_same_data_set_as_its_folder(pets, tmp_path, ending):
    packed = tmp_path / f"packed.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(pets.rglob("*.png")):
                archive.write(path, path.relative_to(pets.parent))
    else:
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(pets, pets.name)
    assert acquire(packed).card["sha256"] == acquire(pets).card["sha256"]


def test_a_table_names_files_labels_parts_groups_and_weights(tmp_path):
    rows = []
    for seed in range(40):
        write(tmp_path / "photos" / f"{seed}.jpg", seed)
        rows.append((f"{seed}", ("cat", "dog")[seed % 2], ("train", "val", "test")[min(seed // 14, 2)], 0.5))
    table = pd.DataFrame(rows, columns=["image_id", "label", "split", "weight"])
    table.to_csv(tmp_path / "train.csv", index=False)
    acquired = acquire(tmp_path / "train.csv", image_folder="photos")
    assert acquired.index.groupby("part")["id"].size().to_dict() == {
        "train": 14,
        "validation": 14,
        "test": 12,
    }
    assert set(acquired.index["weight"]) == {0.5}


# What changes, and what is left out


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root / "cat" / "new.png", 99),
        lambda root: (root / "cat" / "000.png").unlink(),
        lambda root: (root / "cat" / "000.png").rename(root / "dog" / "moved.png"),
        lambda root: (root / "cat").rename(root / "tiger"),
        lambda root: (root / "cat" / "000.png").write_bytes(b"x"),
    ],
)
def test_the_fingerprint_follows_every_change(pets, change):
    acquire(pets)
    before = fingerprint(pets)
    change(pets)
    assert fingerprint(pets) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: os.utime(root / "cat" / "000.png", ns=(1, 1)),
        lambda root: (root / "cat" / ".DS_Store").write_bytes(b"x"),
        lambda root: (root / "cat" / "notes.txt").write_text("x"),
    ],
)
def test_the_fingerprint_ignores_what_makes_no_difference(pets, change):
    acquire(pets)
    before = fingerprint(pets)
    change(pets)
    assert fingerprint(pets) == before


def test_one_command_lists_the_folder_once_and_notices_changes(pets, monkeypatch):
    listings = []
    monkeypatch.setattr(
        recognise, "read", lambda *given, read=recognise.read: listings.append(given) or read(*given)
    )
    source, before = sources.find(str(pets)), fingerprint(pets)
    listings.clear()
    source.check(QUIET)
    assert source.fingerprint(QUIET) == before
    assert len(listings) == 1
    photograph(99).save(pets / "cat" / "new.png")
    assert source.fingerprint(QUIET) != before, "the listing of the check is used once"
    source.check(QUIET)
    labelled_by_name = dataclasses.replace(QUIET, label_by="pattern:([a-z]+)/")
    assert source.fingerprint(labelled_by_name) == fingerprint(pets, label_by="pattern:([a-z]+)/")
    source.check(QUIET)
    gone = fingerprint(pets)
    (pets / "cat" / "new.png").unlink()
    assert source.fingerprint(QUIET) != gone, "a file that is gone since the check"


def test_files_with_damaged_metadata_are_counted(pets):
    assert "metadata" not in data_card.conclude_content(acquire(pets).card).text
    photograph(77).save(pets / "cat" / "damaged.jpg", exif=b"Exif\0\0meaningless")
    acquired = acquire(pets)
    assert acquired.index.loc[acquired.index["damaged_metadata"], "path"].tolist() == ["cat/damaged.jpg"]
    conclusion = data_card.conclude_content(acquired.card)
    assert "Files with damaged metadata: 1;" in conclusion.text
    assert conclusion.numbers["damaged_metadata"] == 1


def test_a_moved_folder_has_the_same_fingerprint(pets, tmp_path):
    before = fingerprint(pets)
    assert fingerprint(pets.rename(tmp_path / "elsewhere")) == before


def test_files_are_left_out_with_a_reason_each(pets):
    (pets / "cat" / "text.png").write_text("this is not an image")
    (pets / "cat" / "empty.png").write_bytes(b"")
    (pets / "dog" / "notes.txt").write_text("x")
    content = (pets / "dog" / "001.png").read_bytes()
    (pets / "dog" / "short.png").write_bytes(content[: len(content) // 2])
    acquired = acquire(pets)
    reasons = acquired.skipped.set_index("path")["reason"]
    assert set(reasons.index) == {"cat/text.png", "cat/empty.png", "dog/notes.txt", "dog/short.png"}
    assert reasons["cat/text.png"] == "it is not an image"
    assert reasons["cat/empty.png"] == "the file is empty"
    assert (acquired.card["unreadable_files"], acquired.card["skipped_files"]) == (3, 1)
    assert len(acquired.index) == 40
    said = data_card.conclude_content(acquired.card).text
    assert "Unreadable files: 3 (" in said
    assert "the file is empty: 1" in said
    assert "another reason: 1. 01_acquire/skipped.csv lists each." in said
    left_out = data_card.left_out(acquired.skipped)
    assert left_out["files"].sum() == 4
    assert ".txt" in set(left_out["ending"])


def test_the_card_warns_of_what_a_crop_cuts_off(pets):
    write(pets / "cat" / "square.png", 500, size=(64, 64))
    said = data_card.conclude_content(acquire(pets).card).text
    assert "sides of 40 to 64 pixels; read at 16 × 16 pixels, colour" in said
    assert "more than a tenth of their area to the centre crop: 40. " in said
    assert "fit=pad" not in data_card.conclude_content(acquire(pets, fit="pad").card).text


def test_one_class_in_two_spellings_is_pointed_out(tmp_path):
    root = class_folders(tmp_path / "pets", {"Big Cat": 5, "big_cat": 5, "dog": 5})
    said = data_card.conclude_content(acquire(root).card).text
    assert "'Big Cat' and 'big_cat' are different classes by their spelling" in said
    class_folders(root, {"Dog": 1}, first_seed=50)
    with pytest.raises(
        AcquisitionError, match="if Dog and dog are one class, give it one name; otherwise add"
    ):
        acquire(root)


def test_an_image_in_two_classes_is_a_label_error_that_the_card_names(pets):
    (pets / "dog" / "copy.png").write_bytes((pets / "cat" / "003.png").read_bytes())
    (pets / "cat" / "again.png").write_bytes((pets / "cat" / "004.png").read_bytes())
    conclusion = data_card.conclude_groups(acquire(pets).card)
    assert conclusion.numbers["exact_copies"] == 2
    assert conclusion.numbers["copies_with_different_labels"] == 1
    assert "different labels: 1, such as " in conclusion.text
    assert "cat/003.png" in conclusion.text
    assert "dog/copy.png" in conclusion.text


def test_of_many_classes_the_card_names_the_first(pets):
    card = acquire(pets).card
    assert data_card.rows(card)["classes"] == "2: cat, dog"
    names = [f"class {number}" for number in range(200)]
    shown = data_card.rows({**card, "class_names": names})["classes"]
    assert shown.startswith("200: class 0, class 1,")
    assert shown.endswith("class 19, …")


def test_the_card_holds_no_path_of_this_machine(pets):
    (pets / "cat" / "text.png").write_text("this is not an image")
    acquired = acquire(pets)
    assert str(pets.parent) not in str(acquired.card)
    assert str(pets.parent) not in acquired.index.to_csv() + acquired.skipped.to_csv()


def test_a_class_with_too_few_readable_images_is_named(pets):
    write(pets / "bird" / "0.png", 90)
    with pytest.raises(AcquisitionError, match="'bird' has 1; at least 3 are needed"):
        acquire(pets)


def test_one_group_that_holds_a_whole_class_cannot_be_split(tmp_path):
    for seed in range(30):
        name = "ill" if seed < 10 else "well"
        write(tmp_path / "set" / name / f"{'a' if name == 'ill' else seed}_{seed}.png", seed)
    with pytest.raises(OsemnError, match="ill"):
        acquire(tmp_path / "set", group_by=r"pattern:([a-z0-9]+)_")


def test_a_file_that_changes_after_the_index_stops_the_run(pets, monkeypatch):
    build = index.build

    def spoil_after(*arguments):
        result = build(*arguments)
        for path in (pets / "cat").iterdir():
            path.write_bytes(b"gone bad")
        return result

    monkeypatch.setattr(index, "build", spoil_after)
    with pytest.raises(AcquisitionError, match=r"The image cat/0\d\d.png has changed since it was indexed"):
        acquire(pets)


def test_an_option_that_cannot_apply_to_a_built_in_set_is_refused():
    with pytest.raises(UsageError, match="label_by"):
        acquire("digits", image_size=0, label_by="path")


def test_built_in_sets_have_an_index_too():
    acquired = sources.acquire("digits", Options(network=QUIET.network))
    assert len(acquired.index) == 1797
    assert set(acquired.index["part"]) == {"train", "test"}
    assert set(acquired.index["format"]) == {"IDX"}


def test_near_copies_are_searched_once_for_the_same_images(pets, monkeypatch):
    photograph(20).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(pets / "dog" / "mirrored.png")
    searched, near = [], copies.near
    monkeypatch.setattr(copies, "near", lambda *given: (searched.append(1), near(*given))[1])
    first, again = acquire(pets), acquire(pets)
    assert len(searched) == 1
    pd.testing.assert_frame_equal(first.index, again.index)
    assert first.card == again.card
    assert first.card["images_with_copies"] == 2
    for record in (pets.parent / "cache").rglob("near-*"):
        record.write_bytes(b"")
    assert acquire(pets).card == first.card, "a damaged record counts as absent"
    photograph(70).save(pets / "dog" / "new.png")
    assert len(acquire(pets).index) == 42
    assert len(searched) == 3


def test_card_and_conclusion_tell_what_the_search_for_copies_left_out(pets, monkeypatch):
    assert acquire(pets).card["near_copies"] == {"capped": False, "alike": 0}
    nothing = np.zeros((3, 0), np.int64)
    monkeypatch.setattr(copies, "near", lambda *_: copies.NearCopies(*nothing, True, 1_234))
    photograph(70).save(pets / "dog" / "new.png")
    conclusion = data_card.conclude_groups(acquire(pets).card)
    assert "1,234 images look like many others" in conclusion.text
    assert "than can be compared" in conclusion.text
    assert (conclusion.numbers["capped"], conclusion.numbers["alike"]) == (True, 1_234)
