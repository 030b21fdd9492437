import contextlib
import json

import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from helpers.errors import AcquisitionError, OsemnError, UsageError
from helpers.obtain.layouts import recognise
from helpers.obtain.options import Options

HEADER = "file,label\n"
ROWS = [("a.png", "cat"), ("b.png", "dog"), ("c.png", "cat")]


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.fixture
def folder(tmp_path):
    """Three images without a table."""
    return write(tmp_path / "set", "a.png", "b.png", "c.png")


def table(folder, text, name="labels.csv", encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def read(path, **options):
    return recognise.read(path, Options(**options))


def column(listing, name="label"):
    return dict(zip(listing.files["path"], listing.files[name], strict=True))


def reasons(listing):
    return dict(zip(listing.skipped["path"], listing.skipped["reason"], strict=True))


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "  ", ", "])
def test_delimiter_and_header_are_recognised(folder, header, delimiter):
    rows = [("file", "label")] * header + ROWS
    path = table(folder, "\n".join(delimiter.join(row) for row in rows))
    assert column(read(path)) == dict(ROWS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_of_usual_encodings_is_read(folder, encoding):
    write(folder, "é.png")
    path = table(folder, "file;label\né.png;été\na.png;cat\n", encoding=encoding)
    assert column(read(path)) == {"a.png": "cat", "é.png": "été"}


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".tsv"])
def test_other_kinds_of_tables_are_read(folder, ending):
    path = folder / f"data{ending}"
    frame = pd.DataFrame(ROWS, columns=["file_name", "label"])
    if ending == ".parquet":
        frame.to_parquet(path)
    elif ending == ".tsv":
        frame.to_csv(path, sep="\t")  # with a column of row numbers
    else:
        frame.to_json(path, orient="records", lines=True)
    listing = read(path)
    assert column(listing) == dict(ROWS)
    assert listing.layout == f"the table data{ending}: files from column file_name, labels from column label"
    assert listing.skipped.empty


def test_whole_numbers_and_missing_values_of_parquet_and_json(folder):
    write(folder, "7.png", "8.png", "9.png")
    frame = pd.DataFrame({"id": [7, 8, 9], "label": [0.0, 1.0, None], "image": [{"bytes": b""}] * 3})
    frame.to_parquet(folder / "data.parquet")
    listing = read(folder / "data.parquet")
    assert column(listing) == {"7.png": "0", "8.png": "1"}
    assert reasons(listing)["9.png"] == "no label in data.parquet"
    rows = [{"id": "07", "label": True}, {"id": 8, "label": False}, {"id": 9}]
    write(folder, "07.png")
    path = table(folder, "\n\n".join(map(json.dumps, rows)), "data.jsonl")
    assert column(read(path)) == {"07.png": "True", "8.png": "False"}


@pytest.mark.parametrize("names", ["filename,class", "File Name,Label", "image_id,category", "path,target", "id,y",
                                   "picture,species", "IMG-PATH,diagnosis", "photo,something"])  # fmt: skip
def test_columns_are_found_by_usual_names(folder, names):
    path = table(folder, f"{names}\na.png,cat\nb.png,dog\n")
    assert column(read(path)) == {"a.png": "cat", "b.png": "dog"}


def test_names_of_files_and_classes_come_before_their_numbers(folder):
    path = table(folder, "id,file,label,class_id\n17,a.png,cat,5\n18,b.png,dog,6\n")
    assert column(read(path)) == {"a.png": "cat", "b.png": "dog"}


def test_parts_groups_and_weights_are_read(folder):
    text = "file,label,split,patient_id,sample_weight\na.png,cat,TRAIN,p1,2\nb.png,dog,training,,0.5\nc.png,cat,Val,p2,1\n"
    listing = read(table(folder, text))
    assert list(column(listing, "part").values()) == ["train", "train", "validation"]
    assert list(column(listing, "group").values()) == ["p1", "", "p2"]
    assert list(column(listing, "weight").values()) == [2.0, 0.5, 1.0]
    assert listing.layout.endswith(
        "parts from column split, groups from column patient_id, weights from column sample_weight"
    )


def test_columns_are_named_by_parameters(folder):
    text = "x,y,label,z,w,who\na.png,1,cat,train,3,p\nb.png,2,dog,test,4,q\nc.png,2,dog,train,5,q\n"
    options = {"file_column": "X", "label_column": "1", "split_column": "z", "weight_column": "4"}
    listing = read(table(folder, text), **options, group_by="column:who")
    assert column(listing) == {"a.png": "1", "b.png": "2", "c.png": "2"}
    assert list(column(listing, "part").values()) == ["train", "test", "train"]
    assert list(column(listing, "group").values()) == ["p", "q", "q"]
    assert list(column(listing, "weight").values()) == [3.0, 4.0, 5.0]


def test_columns_are_numbered_without_a_header(folder):
    path = table(folder, "5 a mono x\n6 b poly y\n7 c mono y\n", "labels.txt".replace(".txt", ".csv"))
    listing = read(path, file_column="1", label_column="2", group_by="column:3")
    assert column(listing) == {"a.png": "mono", "b.png": "poly", "c.png": "mono"}
    assert list(column(listing, "group").values()) == ["x", "y", "y"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a.png,1.0,mono\nb.png,0.5,poly\n",
            {},
            r"labels.*values?: 0 \(a.png\), 1 \(1.0\), 2 \(mono\).*label_column",
        ),
        ("file,image,label\na.png,a.png,cat\n", {}, "several columns that could be the file: file and image"),
        ("file,label,class\na.png,cat,cat\n", {}, "could be the label: label and class.*label_column"),
        ("file,label,label\na.png,cat,cat\n", {}, "could be the label: label and label"),
        ("file,label,label\na.png,cat,cat\n", {"label_column": "label"}, "has the column 'label' 2 times"),
        ("file,label,split,set\na.png,cat,train,a\n", {}, "could be the split: split and set.*split_column"),
        ("file,label,patient,case\na.png,cat,1,2\n", {}, "could be the group.*group_by=column:NAME"),
        ("file,label\na.png,cat\n", {"label_column": "klass"}, "no column 'klass'.*1: label"),
        ("file,label\na.png,cat\n", {"label_column": "2"}, "no column '2'"),
        ("file,label\na.png,cat\n", {"label_column": "file"}, "the column file for two purposes"),
        ("one,two,label\n1,2,cat\n", {}, "no column that is clearly that of the image files.*file_column"),
    ],
)
def test_columns_that_are_missing_or_ambiguous_are_listed_with_the_parameter(folder, text, options, message):
    with pytest.raises(UsageError, match=f"(?s){message}"):
        read(table(folder, text), **options)


def test_a_name_in_the_same_case_comes_first(folder):
    path = table(folder, "file,Label,label\na.png,x,cat\nb.png,x,dog\n")
    assert column(read(path, label_column="label")) == {"a.png": "cat", "b.png": "dog"}


def test_a_column_that_is_there_twice_is_named_by_its_number(folder):
    path = table(folder, "file,label,label\na.png,cat,x\nb.png,dog,x\n")
    assert column(read(path, label_column="1")) == {"a.png": "cat", "b.png": "dog"}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "labels.csv", "cannot be read"),
        (b"file,label\n", "labels.csv", "0 rows and 2 columns of text or numbers"),
        (b"file\na.png\nb.png\n", "labels.csv", "2 rows and 1 columns"),
        (b"file,label\na.png,cat\nb.png,dog,bird\n", "labels.csv", "cannot be read.*line 3"),
        (b"file;label\na.png;cat;x\nb.png;dog\n", "labels.csv", "cannot be read.*line 2"),
        (b"not parquet", "data.parquet", "cannot be read"),
        (b'{"file": "a.png"}\n{"file":', "data.jsonl", "line 2 is not JSON"),
        (b"[1, 2]\n", "data.jsonl", "line 1 is not an object"),
        (b"\n", "data.jsonl", "0 rows"),
        (b'{"file": "a.png", "label": ["cat"]}\n', "data.jsonl", "1 rows and 1 columns of text or numbers"),
    ],
)
def test_damaged_and_empty_tables_are_reported(folder, content, name, message):
    (folder / name).write_bytes(content)
    with pytest.raises(AcquisitionError, match=f"(?s){message}"):
        read(folder / name)


@pytest.mark.parametrize("names", [["file"], ["file", "label"]])
def test_columns_that_pandas_noted_as_the_index_are_read(folder, names):
    frame = (
        pd.DataFrame(ROWS, columns=["file", "label"])
        .set_index(names)
        .assign(note=7.5, boxes=[[1, 2]] * len(ROWS))
    )
    frame.to_parquet(folder / "data.parquet")
    assert column(read(folder / "data.parquet")) == dict(ROWS)


def test_numbers_beside_missing_ones_stay_whole(folder):
    write(folder, "7.png", "8.png")
    pd.DataFrame({"id": [7, None, 8], "label": ["x", "y", "z"]}).to_parquet(folder / "a.parquet")
    assert column(read(folder / "a.parquet")) == {"7.png": "x", "8.png": "z"}


def test_quotes_after_a_space_are_read(folder):
    path = table(folder, 'file, label\na.png, "cat, small"\nb.png, "dog, big"\n')
    assert column(read(path)) == {"a.png": "cat, small", "b.png": "dog, big"}


def test_a_column_twice_in_parquet_is_reported(folder):
    columns = [["a.png", "b.png"], ["cat", "dog"], ["cat", "dog"]]
    parquet.write_table(
        pyarrow.Table.from_arrays(columns, names=["file", "label", "label"]), folder / "a.parquet"
    )
    with pytest.raises(AcquisitionError, match="the column 'label' twice"):
        read(folder / "a.parquet")


def test_thresholds_make_classes_of_numbers(folder):
    path = table(folder, "a.png,0.0\nb.png,0.5\nc.png,1\n")
    listing = read(path, label_thresholds=(0.5,))
    assert list(column(listing).values()) == ["below 0.5", "0.5 and above", "0.5 and above"]
    assert listing.class_names == ("below 0.5", "0.5 and above")
    listing = read(path, label_thresholds=(0.25, 0.75))
    assert list(column(listing).values()) == ["below 0.25", "0.25 to below 0.75", "0.75 and above"]
    listing = read(path, label_thresholds=(0.2, 0.5, 0.8), label_names=("no", "low", "mid", "high"))
    assert list(column(listing).values()) == ["no", "mid", "high"]
    assert listing.class_names == ("no", "mid", "high")


def test_decimal_commas_are_numbers(folder):
    path = table(folder, "a.png;0,25\nb.png;0,75\n")
    assert list(column(read(path, label_thresholds=(0.5,))).values()) == ["below 0.5", "0.5 and above"]


def test_long_numbers_are_not_taken_for_each_other(folder):
    path = table(folder, "file,label\na.png,12345678901234567890\nb.png,12345678901234567891\n")
    assert column(read(path)) == {"a.png": "12345678901234567890", "b.png": "12345678901234567891"}


def test_whole_numbers_are_labels_and_may_be_named(folder):
    path = table(folder, "file,label\na.png,10\nb.png,9.0\nc.png,\n")
    listing = read(path)
    assert column(listing) == {"a.png": "10", "b.png": "9"}
    assert listing.class_names == ("9", "10")
    listing = read(path, label_names=("nine", "apple"))
    assert column(listing) == {"a.png": "apple", "b.png": "nine"}
    assert listing.class_names == ("nine", "apple")


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("0.1 0.5 0.9", {}, r"fractions from 0.1 to 0.9.*label_thresholds=\[0.5\]"),
        (
            "0 cat 1",
            {"label_thresholds": (0.5,)},
            "must be numbers for label_thresholds. Invalid in 1 row: 'cat'",
        ),
        ("0 1 2", {"label_thresholds": (0.5, 0.5)}, "do not rise"),
        (
            "0 1 2",
            {"label_thresholds": (0.5,), "label_names": ("a",)},
            "make 2 classes, but label_names has 1",
        ),
        ("0 1 2", {"label_names": ("a", "b")}, "has 2 names, but .* has 3 labels: 0, 1, 2"),
        ("0 1 2", {"label_names": ("a", "b", "a")}, "has a name twice"),
        ("x y x", {"label_names": ("a", "b")}, "needs numbers as labels"),
    ],
)
def test_numbers_and_names_that_do_not_fit_are_reported(folder, labels, options, message):
    rows = zip("abc", labels.split(), strict=True)
    path = table(folder, HEADER + "".join(f"{name}.png,{label}\n" for name, label in rows))
    with pytest.raises(OsemnError, match=f"(?s){message}"):
        read(path, **options)


def test_one_column_of_0_and_1_for_each_class(folder):
    path = table(folder, "image,MEL,NV,age\na,1.0,0.0,40\nb,0.0,1.0,50\nc,1,0,1\n")
    assert column(read(path)) == {"a.png": "MEL", "b.png": "NV", "c.png": "MEL"}
    with pytest.raises(UsageError, match="no column that is clearly that of the labels"):
        read(table(folder, "image,MEL,NV\na,1,1\nb,0,1\n"))


def test_names_without_ending_beside_folders_of_competitions(tmp_path):
    write(tmp_path, "train_images/001.jpg", "train_images/002.JPEG", "test_images/001.jpg", "test.csv")
    path = table(tmp_path, "id,label\n001,cat\n002,dog\n", "train.csv")
    listing = read(path)
    assert column(listing) == {"train_images/001.jpg": "cat", "train_images/002.JPEG": "dog"}
    assert reasons(listing)["test_images/001.jpg"] == "not listed in train.csv"


def test_the_folder_of_a_competition_is_read_by_its_training_table(tmp_path):
    write(tmp_path, "train_images/0001.jpg", "train_images/0002.jpg", "test_images/0003.jpg")
    table(tmp_path, "id,label\n0001,cat\n0002,dog\n", "train.csv")
    table(tmp_path, "id,label\n0003,cat\n", "sample_submission.csv")
    listing = read(tmp_path)
    assert column(listing) == {"train_images/0001.jpg": "cat", "train_images/0002.jpg": "dog"}
    assert set(reasons(listing)) == {"test_images/0003.jpg", "sample_submission.csv"}


def test_files_in_two_folders_are_found_by_their_names(tmp_path):
    write(tmp_path, "images_part_1/a.jpg", "images_part_2/deep/b.jpg")
    path = table(tmp_path, "image_id,dx\na,nv\nb,mel\n", "HAM_metadata.csv")
    assert column(read(path)) == {"images_part_1/a.jpg": "nv", "images_part_2/deep/b.jpg": "mel"}
    assert column(read(tmp_path)) == column(read(path))


def test_other_folders_are_not_searched_if_files_are_where_the_table_says(folder):
    write(folder, "excluded/d.png")
    listing = read(table(folder, "file,label\na.png,cat\nb.png,dog\nd.png,dog\n"))
    assert reasons(listing)["d.png"] == "labels.csv lists it, but there is no such file"
    assert reasons(listing)["excluded/d.png"] == "not listed in labels.csv"


def test_image_folder_is_relative_to_the_table(tmp_path):
    write(tmp_path, "masks/a.png", "masks/b.png", "photos/a.png", "photos/b.png")
    path = table(tmp_path, "file,label\na.png,cat\nb,dog\n", "tables/labels.csv")
    listing = read(path, image_folder="../photos")
    assert listing.root.resolve() == (tmp_path / "photos").resolve()
    assert column(listing) == {"a.png": "cat", "b.png": "dog"}
    beside = table(tmp_path, path.read_text())
    with pytest.raises(AcquisitionError, match=r"lists 2 names .*'a.png' is masks/a.png or photos/a.png"):
        read(beside)
    assert column(read(beside, image_folder="photos")) == {"a.png": "cat", "b.png": "dog"}
    assert column(read(tmp_path, image_folder=f"../{tmp_path.name}/photos")) == column(
        read(tmp_path, image_folder="photos")
    )
    assert column(read(tmp_path, image_folder="photos")) == {
        "photos/a.png": "cat",
        "photos/b.png": "dog",
    }
    with pytest.raises(UsageError, match=r"There is no folder .*nowhere"):
        read(path, image_folder="nowhere")


def test_two_endings_for_one_name_are_an_error_unless_it_has_one(folder):
    write(folder, "a.jpg")
    with pytest.raises(AcquisitionError, match=r"'a' is a.jpg or a.png"):
        read(table(folder, "file,label\na,cat\nb,dog\n"))
    assert column(read(table(folder, "file,label\na.jpg,cat\nb,dog\n"))) == {"a.jpg": "cat", "b.png": "dog"}


def test_paths_of_windows_and_from_the_root_of_a_disk(folder):
    write(folder, "more/d.png")
    rows = [
        r".\a.png,cat", r"more\d.png,dog", f"{folder}/b.png,dog", r"C:\Users\me\c.png,cat",
        "/elsewhere/c.png,cat", "../set/c.png,cat",
    ]  # fmt: skip
    listing = read(table(folder, HEADER + "\n".join(rows)))
    assert column(listing) == {"a.png": "cat", "b.png": "dog", "more/d.png": "dog"}
    assert reasons(listing)["/elsewhere/c.png"] == "labels.csv lists it, but there is no such file"
    assert reasons(listing)["c.png"] == "not listed in labels.csv"
    assert len(listing.skipped) == 4


def test_files_without_an_image_ending_are_used_if_the_table_lists_them(folder):
    write(folder, "scan", "d.xyz")
    listing = read(table(folder, HEADER + "scan,cat\nd.xyz,dog\n"))
    assert column(listing) == {"d.xyz": "dog", "scan": "cat"}


def test_names_with_accents_are_found_however_they_are_composed(folder):
    write(folder, "e\u0301.png", "\u00fc.png")
    listing = read(table(folder, HEADER + "\u00e9.png,cat\nu\u0308.png,dog\n"))
    assert column(listing) == {"e\u0301.png": "cat", "\u00fc.png": "dog"}


def test_nothing_found_names_the_first_files_and_the_parameter(folder):
    with pytest.raises(AcquisitionError, match=r"lists no file .* 2 rows: 'x.png', 'y.png'") as caught:
        read(table(folder, HEADER + "x.png,cat\ny.png,dog\n"))
    assert "image_folder" in caught.value.remedy


def test_images_are_in_the_order_of_their_paths(folder):
    listing = read(table(folder, HEADER + "c.png,cat\na.png,dog\nb.png,bird\n"))
    assert listing.files["path"].tolist() == ["a.png", "b.png", "c.png"]
    assert listing.files["label"].tolist() == ["dog", "bird", "cat"]


def test_what_is_left_out_is_listed(folder):
    write(folder, ".hidden.png", "notes.txt")
    text = HEADER + "a.png,cat\nb.png,dog\n,cat\nc.png,NaN\nz.png,cat\nb.png,dog\n.hidden.png,cat\n"
    listing = read(table(folder, text))
    assert column(listing) == {"a.png": "cat", "b.png": "dog"}
    assert reasons(listing) == {
        ".hidden.png": "a hidden file or folder",
        "b.png": "listed twice in labels.csv",
        "c.png": "no label in labels.csv",
        "notes.txt": "not an image by its name: .txt",
        "row 3 of labels.csv": "no file name",
        "z.png": "labels.csv lists it, but there is no such file",
    }


@pytest.mark.parametrize("again", ["./a.png,dog,train", "a.png,cat,test"])
def test_a_file_with_two_labels_or_parts_is_an_error(folder, again):
    text = f"file,label,split\na.png,cat,train\nb.png,dog,train\n{again}\n"
    with pytest.raises(
        AcquisitionError, match=r"1 file with different labels or parts: a.png: cat train and"
    ):
        read(table(folder, text))


def test_parts_of_unknown_names_are_an_error_and_numbers_of_folds_are_not_used(folder):
    text = "file,label,split\na.png,cat,train\nb.png,dog,holdout\nc.png,cat,\n"
    with pytest.raises(AcquisitionError, match=r"split of .* not parts, in 2 rows: 'holdout', ''"):
        read(table(folder, text))
    folds = table(folder, "file,label,fold\na.png,cat,0\nb.png,dog,1\n")
    listing = read(folds)
    assert set(listing.files["part"]) == {""}
    assert "the column fold does not name parts" in listing.layout
    with pytest.raises(AcquisitionError, match="are not parts, in 2 rows: '0', '1'"):
        read(folds, split_column="fold")


def test_classes_of_a_tables_parts_are_checked(folder):
    with pytest.raises(AcquisitionError, match="no image of these classes: 'dog' of the test part"):
        read(table(folder, "file,label,split\na.png,cat,train\nb.png,dog,test\nc.png,cat,test\n"))


@pytest.mark.parametrize("repeated", [False, True])
def test_an_ambiguous_name_prefers_the_folder_named_after_the_table(tmp_path, repeated):
    write(tmp_path, "a_test/1.png", "train_images/1.png", "train_images/2.png")
    path = table(tmp_path, "id,label\n" + "1,cat\n" * (1 + repeated) + "2,dog\n", "train.csv")
    assert column(read(path)) == {"train_images/1.png": "cat", "train_images/2.png": "dog"}
    write(tmp_path, "train_masks/1.png")
    with pytest.raises(AcquisitionError, match=r"'1' is .*train_images/1.png or train_masks/1.png"):
        read(path)


@pytest.mark.parametrize("weight", ["-1", "heavy", "", "inf", "nan"])
def test_weights_are_numbers_from_zero_on(folder, weight):
    with pytest.raises(AcquisitionError, match=f"Invalid in 1 row: '{weight}'"):
        read(table(folder, f"file,label,weight\na.png,cat,{weight}\nb.png,dog,1\n"))


def test_one_class_is_not_enough(folder):
    with pytest.raises(UsageError, match="one class, 'cat'"):
        read(table(folder, "file,label\na.png,cat\nb.png,cat\n"))


def test_groups_by_folder_or_pattern_come_before_usual_names(folder):
    write(folder, "p1/d.png", "p2/e.png")
    path = table(folder, "file,label,patient\np1/d.png,cat,x\np2/e.png,dog,x\n")
    assert list(column(read(path), "group").values()) == ["x", "x"]
    assert list(column(read(path, group_by="folder"), "group").values()) == ["p1", "p2"]
    assert list(column(read(path, group_by="pattern:([de])"), "group").values()) == ["d", "e"]


@pytest.mark.parametrize("place", ["", "images", "wrapper/images"])
def test_a_folder_whose_images_are_not_sorted_is_read_by_its_table(tmp_path, place):
    root = write(tmp_path, *[f"{place}/{name}.png".lstrip("/") for name in "abc"], "readme.md")
    table(root / place / ("" if place == "" else ".."), HEADER + "a,cat\nb,dog\n", "anything.csv")
    listing = read(root)
    assert [path.rpartition("/")[2] for path in listing.files["path"]] == ["a.png", "b.png"]
    assert all((listing.root / path).exists() for path in listing.files["path"])
    assert listing.layout.startswith("the table anything.csv")
    assert reasons(listing)["readme.md"] == "not an image by its name: .md"


def test_of_several_tables_the_one_with_the_usual_name_is_read(folder):
    table(folder, HEADER + "a,cat\nb,dog\n", "one.csv")
    table(folder, HEADER + "a,x\nb,y\n", "two.csv")
    with pytest.raises(UsageError, match=r"several tables: one.csv, two.csv"):
        read(folder)
    table(folder, HEADER + "a,first\nb,second\n", "Metadata.csv")
    assert column(read(folder)) == {"a.png": "first", "b.png": "second"}


def test_class_folders_and_patterns_come_before_a_table(tmp_path):
    write(tmp_path, "cat/a.png", "dog/b.png")
    table(tmp_path, HEADER + "cat/a.png,x\ndog/b.png,y\n")
    listing = read(tmp_path)
    assert set(column(listing).values()) == {"cat", "dog"}
    assert listing.layout == "class folders (not used: labels.csv)"
    assert set(column(read(tmp_path, label_column="label")).values()) == {"x", "y"}
    assert set(column(read(tmp_path, label_by="pattern:/([ab])")).values()) == {"a", "b"}
    with pytest.raises(UsageError, match="label_by has no use for the table"):
        read(tmp_path / "labels.csv", label_by="path")


def test_no_file_beside_a_table_is_lost(folder):
    write(folder, "d.png", "more/e.png", "more/f.txt", ".g.png", "h")
    listing = read(table(folder, HEADER + "a.png,cat\nmore/e.png,dog\nmore/f.txt,dog\nd.png,\n"))
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    listed, skipped = set(listing.files["path"]), set(listing.skipped["path"])
    assert listed == {"a.png", "more/e.png", "more/f.txt"}
    assert listed | skipped == paths - {"labels.csv"}
    assert not listed & skipped


labels = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=30)
@given(st.lists(labels, min_size=2, max_size=5, unique=True), st.sampled_from([",", ";", "\t", "|"]))
def test_any_text_is_a_label(tmp_path_factory, classes, delimiter):
    prefixed = [f"class {name}" for name in classes]
    root = write(tmp_path_factory.mktemp("set"), *[f"{number}.png" for number in range(len(classes))])
    frame = pd.DataFrame({"file": [f"{number}.png" for number in range(len(classes))], "label": prefixed})
    frame.to_csv(root / "labels.csv", sep=delimiter, index=False)
    assert list(column(read(root)).values()) == prefixed


@given(
    st.one_of(st.binary(max_size=60), st.text('a.png\t,;|" 0\n1é', max_size=60).map(str.encode)),
    st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
)
def test_any_content_is_a_listing_or_a_clear_error(tmp_path_factory, content, ending):
    root = write(tmp_path_factory.mktemp("set"), "a.png", "1.png")
    (root / f"labels{ending}").write_bytes(content)
    with contextlib.suppress(OsemnError):
        assert set(read(root).files["path"]) == {"a.png", "1.png"}
