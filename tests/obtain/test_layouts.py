import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import AcquisitionError, OsemnError, UsageError
from helpers.obtain.layouts import folder_scan, path_rules, recognise
from helpers.obtain.options import Options


def write(root, *names):
    """Write files; a layout is recognised by names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def read(root, **options):
    return recognise.read(root, Options(**options))


def labels(listing):
    return dict(zip(listing.files["path"], listing.files["label"], strict=True))


def parts(listing):
    return dict(zip(listing.files["path"], listing.files["part"], strict=True))


def groups(listing):
    return dict(zip(listing.files["path"], listing.files["group"], strict=True))


def reasons(listing):
    return dict(zip(listing.skipped["path"], listing.skipped["reason"], strict=True))


def test_first_folders_are_classes(tmp_path):
    listing = read(write(tmp_path, "dog/1.png", "cat/2.JPG", "cat/1.png"))
    assert labels(listing) == {"cat/1.png": "cat", "cat/2.JPG": "cat", "dog/1.png": "dog"}
    assert list(listing.files["path"]) == sorted(listing.files["path"])
    assert listing.layout == "class folders"
    assert listing.class_names == ("cat", "dog")
    assert listing.files["weight"].tolist() == [1.0] * 3
    assert set(listing.files["part"]) == set(listing.files["group"]) == {""}
    assert listing.skipped.empty


def test_images_in_sub_folders_of_a_class_belong_to_it(tmp_path):
    listing = read(write(tmp_path, "dog/1.png", "cat/1.png", "cat/more/2.png", "cat/more/and/3.png"))
    assert [labels(listing)[f"cat/{name}"] for name in ("1.png", "more/2.png", "more/and/3.png")] == [
        "cat"
    ] * 3


def test_the_whole_path_of_the_folder_is_the_label_if_asked(tmp_path):
    write(tmp_path, "dog/beagle/1.png", "dog/2.png", "cat/3.png")
    assert labels(read(tmp_path, label_by="path")) == {
        "cat/3.png": "cat",
        "dog/2.png": "dog",
        "dog/beagle/1.png": "dog/beagle",
    }


def test_labels_by_a_pattern_in_the_path(tmp_path):
    write(tmp_path, "cat.1.jpg", "dog.2.jpg", "more/cat.3.jpg", "readme.jpg")
    listing = read(tmp_path, label_by=r"pattern:(\w+)\.\d+\.jpg$")
    assert labels(listing) == {"cat.1.jpg": "cat", "dog.2.jpg": "dog", "more/cat.3.jpg": "cat"}
    assert reasons(listing) == {"readme.jpg": "label_by's pattern is not found in its path"}


def test_sub_folders_of_the_one_folder_that_holds_everything_are_classes(tmp_path):
    listing = read(write(tmp_path, "photos/pets/cat/1.png", "photos/pets/dog/1.png", "photos/readme.txt"))
    assert set(labels(listing).values()) == {"cat", "dog"}
    assert listing.layout == "class folders in photos/pets"
    assert reasons(listing) == {"photos/readme.txt": "not an image by its name: .txt"}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "VALID", "Testing"),
        ("train2017", "validation", "test_images"),
        ("TRAIN", "dev", "test-set"),
    ],
)
def test_ready_made_parts_stay_as_they_are(tmp_path, train, validation, test):
    folders = {train: "train", validation: "validation", test: "test"}
    listing = read(
        write(tmp_path, *[f"{folder}/{name}/1.png" for folder in folders for name in ("cat", "dog")])
    )
    assert parts(listing) == {
        f"{folder}/{name}/1.png": part for folder, part in folders.items() for name in ("cat", "dog")
    }
    assert set(labels(listing).values()) == {"cat", "dog"}
    assert all(folder in listing.layout for folder in folders)


def test_training_part_alone_is_a_training_part(tmp_path):
    assert set(parts(read(write(tmp_path, "train/cat/1.png", "train/dog/1.png"))).values()) == {"train"}


def test_images_below_a_part_take_labels_by_path_or_pattern(tmp_path):
    write(tmp_path, "train/dog/beagle/1.png", "train/cat/2.png", "test/cat/3.png")
    assert set(labels(read(tmp_path, label_by="path")).values()) == {"dog/beagle", "cat"}
    flat = write(tmp_path / "flat", "train/cat.1.png", "train/dog.2.png", "test/dog.3.png")
    listing = read(flat, label_by=r"pattern:([a-z]+)\.\d")
    assert labels(listing)["test/dog.3.png"] == "dog"
    assert parts(listing)["test/dog.3.png"] == "test"


def test_a_class_that_one_part_lacks_is_fine_outside_the_training_part(tmp_path):
    write(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
    (tmp_path / "test" / "dog").mkdir()
    listing = read(tmp_path)
    assert len(listing.files) == 3
    assert listing.skipped.empty


@pytest.mark.parametrize("part", ["test", "val"])
def test_class_missing_in_the_training_part_is_named(tmp_path, part):
    write(tmp_path, "train/cat/1.png", "train/dog/1.png", f"{part}/cat/1.png", f"{part}/bird/1.png")
    with pytest.raises(
        AcquisitionError, match=r"training part .* no image .*'bird' of the (test|validation) part"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/1.png", "test/2.png"], "The images in test/ and train/ .* not in class folders"),
        (["train/cat/1.png", "train/dog/1.png", "test/2.png"], "The images in test/ .* not in class folders"),
        (
            ["train/cat/1.png", "train/dog/1.png", "cat/2.png"],
            "train/, which looks like a part .*beside .*cat",
        ),
        (
            ["train/1.png", "val/1.png", "cat/2.png"],
            "train/ and val/, which looks like a part .*beside .*cat",
        ),
        (["train/1.png", "holdout/2.png"], "train/, which looks like a part .*beside .*holdout"),
        (["test1/cat/1.png", "test2/cat/1.png", "train/cat/1.png"], "the same part"),
        (["test/cat/1.png", "test/dog/1.png"], "no training part"),
        (["images_1/1.png", "images_2/2.png"], "not those of classes: images_1, images_2"),
        (["1.png", "2.png"], "not in sub-folders"),
        (["cat/1.png"], "cat are not in sub-folders"),
        (["cat/1.txt"], "holds no image"),
        (["train/cat/1.png", "test/cat/1.png"], "one class, 'cat'"),
    ],
)
def test_folders_that_are_not_classes_are_refused_with_what_to_do(tmp_path, names, message):
    with pytest.raises(OsemnError, match=message) as caught:
        read(write(tmp_path, *names))
    assert caught.value.remedy


def test_a_vehicle_class_may_be_called_train(tmp_path):
    listing = read(write(tmp_path, "car/1.png", "train/1.png", "truck/1.png"))
    assert listing.class_names == ("car", "train", "truck")
    assert set(listing.files["part"]) == {""}


@pytest.mark.parametrize(
    "name", ["training station", "trainer", "contest", "value", "validated", "devil", "testament"]
)
def test_a_class_whose_name_begins_like_a_part_is_a_class(tmp_path, name):
    assert path_rules.part(name) == ""
    assert set(labels(read(write(tmp_path, f"{name}/1.png", "test tube/1.png"))).values()) == {
        name,
        "test tube",
    }


def test_groups_by_folder_are_the_innermost_folders_below_the_class(tmp_path):
    write(tmp_path, "cat/p1/1.png", "cat/left/p2/1.png", "dog/p1/1.png", "dog/2.png")
    assert groups(read(tmp_path, group_by="folder")) == {
        "cat/left/p2/1.png": "p2",
        "cat/p1/1.png": "p1",
        "dog/2.png": "",
        "dog/p1/1.png": "p1",
    }


def test_groups_by_pattern(tmp_path):
    write(tmp_path, "cat/p1_1.png", "cat/p1_2.png", "dog/p2_1.png", "dog/x.png")
    assert list(groups(read(tmp_path, group_by=r"pattern:(p\d+)_")).values()) == ["p1", "p1", "p2", ""]


def test_bursts_are_left_to_the_index(tmp_path):
    assert set(read(write(tmp_path, "cat/1.png", "dog/1.png"), group_by="burst").files["group"]) == {""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_by": "pattern:("}, "not a regular expression"),
        ({"label_by": "pattern:cat"}, "has no group"),
        ({"label_by": "pattern:^(x)"}, "No image is left"),
        ({"label_by": "pattern:^(x)", "group_by": "folder"}, "No image is left"),
        ({"group_by": "folder"}, "no image has a group"),
        ({"group_by": "pattern:(png)"}, "all images are in one group"),
        ({"group_by": "column:patient"}, "group_by is for a table"),
        ({"label_column": "1"}, "label_column is for a table"),
        ({"label_thresholds": (0.5,)}, "label_thresholds is for a table"),
    ],
)
def test_options_that_do_not_apply_are_refused(tmp_path, options, message):
    with pytest.raises(OsemnError, match=message):
        read(write(tmp_path, "cat/1.png", "dog/1.png"), **options)


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "There is no folder"), ("a.xlsx", "not a table of a known kind")]
)
def test_what_is_neither_folder_nor_table_is_refused(tmp_path, name, message):
    write(tmp_path, "a.xlsx")
    with pytest.raises(UsageError, match=message):
        read(tmp_path / name)


def test_every_skipped_file_is_listed_with_its_reason_and_ending(tmp_path):
    write(
        tmp_path,
        "cat/1.png",
        "dog/1.png",
        "loose.png",
        "notes.TXT",
        "cat/Makefile",
        "cat/.hidden.png",
        "Thumbs.db",
    )
    write(tmp_path, ".git/1.png", "__MACOSX/cat/1.png")
    (tmp_path / "bird").mkdir()
    listing = read(tmp_path)
    assert reasons(listing) == {
        ".git": "a hidden file or folder",
        "Thumbs.db": "a hidden file or folder",
        "__MACOSX": "a hidden file or folder",
        "bird": "a folder without images",
        "cat/.hidden.png": "a hidden file or folder",
        "cat/Makefile": "not an image by its name: no ending",
        "loose.png": "not in a class folder",
        "notes.TXT": "not an image by its name: .txt",
    }
    assert listing.skipped["ending"].tolist() == ["", ".db", "", "", ".png", "", ".png", ".txt"]
    assert len(listing.files) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_pipes_links_to_nothing_and_loops_are_skipped(tmp_path):
    root = write(tmp_path / "set", "cat/1.png", "dog/1.png")
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    (root / "cat" / "self.png").symlink_to("self.png")
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "above").symlink_to(tmp_path)
    (root / "dog" / "again").symlink_to(root / "cat")
    listing = read(root)
    assert list(listing.files["path"]) == ["cat/1.png", "dog/1.png"]
    again = "a link to a folder that is read already, or that is above"
    assert reasons(listing) == {
        "cat/gone.png": "a link to nothing",
        "cat/pipe.png": "not a regular file",
        "cat/self.png": "too many levels of symbolic links",
        "cat/up": again,
        "dog/above": again,
        "dog/again": again,
    }


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path):
    write(tmp_path / "store", "a.png", "dogs/1.png")
    root = write(tmp_path / "set", "cat/1.png")
    (root / "cat" / "2.png").symlink_to(tmp_path / "store" / "a.png")
    (root / "dog").symlink_to(tmp_path / "store" / "dogs")
    assert list(read(root).files["path"]) == ["cat/1.png", "cat/2.png", "dog/1.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_names_that_are_not_utf8_are_shown_with_escapes_and_found(tmp_path):
    root = write(tmp_path, "dog/1.png", "chat/é.png")
    raw = os.fsencode(root) + b"/bar\xe9\xc3\xa9"
    os.mkdir(raw)  # noqa: PTH102, the name is bytes
    with open(raw + b"/\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"content")
    listing = read(root)
    assert labels(listing) == {"chat/é.png": "chat", "dog/1.png": "dog", r"bar\xe9é/\xff.png": r"bar\xe9é"}
    assert folder_scan.real_path(root, r"bar\xe9é/\xff.png").read_bytes() == b"content"
    assert folder_scan.real_path(root, "dog/1.png") == root / "dog/1.png"
    listing.files.to_parquet(tmp_path / "files.parquet")


def test_a_name_that_holds_an_escape_is_found_as_it_is(tmp_path):
    write(tmp_path, r"dog/\xff.png", "cat/1.png")
    assert folder_scan.real_path(tmp_path, r"dog/\xff.png").exists()


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")]
)
def test_folders_that_cannot_be_read_or_vanish_are_skipped(tmp_path, monkeypatch, error):
    write(tmp_path, "cat/1.png", "dog/1.png", "dog/closed/1.png")
    scandir = os.scandir

    def refuse(place):
        if place.name == "closed":
            raise error
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = read(tmp_path)
    assert reasons(listing) == {"dog/closed": f"the folder cannot be read: {error.strerror.lower()}"}
    monkeypatch.setattr(os, "scandir", lambda place: (_ for _ in ()).throw(error))
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)


def test_numbers_as_class_names_are_in_the_order_of_their_values(tmp_path):
    assert read(write(tmp_path, "10/1.png", "9/1.png", "1/1.png")).class_names == ("1", "9", "10")


names = st.text(st.sampled_from("abé.-_ 1"), min_size=1, max_size=6).filter(
    lambda name: not name.startswith(".")
)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.lists(names, min_size=1, max_size=3), st.sampled_from([".png", ".txt", ""])), max_size=12
    )
)
def test_no_file_is_lost(tmp_path_factory, made):
    root = write(tmp_path_factory.mktemp("set"), "one class/1.png", "other/1.png")
    for number, (folders, ending) in enumerate(made):
        write(root, f"{'/'.join(folders)}/{number} file{ending}")
    everything = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    listing = read(root)
    listed, skipped = set(listing.files["path"]), set(listing.skipped["path"])
    assert listed | (skipped & everything) == everything
    assert not listed & skipped
    assert all(label == path.partition("/")[0] for path, label in labels(listing).items())
