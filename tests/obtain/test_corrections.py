"""Corrections of labels change labels and nothing else, and are refused where they do not fit."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.errors import UsageError
from helpers.obtain import corrections, data, data_card, sources
from helpers.obtain.acquired import Acquired
from helpers.obtain.options import Options

FILE = "labels.csv"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose root is a folder of its own."""
    monkeypatch.setattr("helpers.paths.project_root", lambda: tmp_path)
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def digits() -> Acquired:
    return sources.acquire("digits")


def decide(project: Path, table: pd.DataFrame, decisions: dict[int, tuple[str, str]]) -> str:
    """Write decisions about rows of an index, and return the file's name."""
    rows = table.iloc[list(decisions)]
    kinds, names = zip(*decisions.values(), strict=True)
    rows = rows.assign(decision=kinds, new_label=names)
    rows[list(corrections.COLUMNS)].to_csv(project / FILE, index=False)
    return FILE


def consistent(acquired: Acquired) -> None:
    """Check that index and arrays tell the same."""
    for part, rows in (
        ("train", acquired.index["part"] != "test"),
        ("test", acquired.index["part"] == "test"),
    ):
        dataset, table = getattr(acquired, part), acquired.index[rows].sort_values("row")
        assert table["row"].tolist() == list(range(len(dataset)))
        assert np.array(dataset.class_names)[dataset.labels].tolist() == table["label"].tolist()


def test_labels_are_corrected_in_their_part_and_the_originals_are_untouched(
    project: Path, digits: Acquired
) -> None:
    table = digits.index
    of_test = int(np.flatnonzero(table["part"] == "test")[5])
    before = digits.train.labels.copy()
    other = {0: ("relabel", "7" if table["label"][0] != "7" else "8"), 1: ("drop", ""), of_test: ("drop", "")}
    file = decide(project, table, {**other, 2: ("keep", ""), 3: ("unsure", "")})
    changed = corrections.apply(digits, file)
    consistent(changed)
    assert changed.train.class_names[changed.train.labels[0]] == other[0][1]
    assert len(changed.train) == len(digits.train) - 1
    assert len(changed.test) == len(digits.test) - 1
    assert np.array_equal(changed.train.images[1:], digits.train.images[2:])
    assert np.array_equal(changed.train.labels[1:], before[2:])
    assert np.array_equal(digits.train.labels, before)
    assert changed.card["corrections"] == {
        "train": {"relabelled": 1, "dropped": 1},
        "test": {"relabelled": 0, "dropped": 1},
    }
    assert changed.card["counts"] == {"train": len(changed.train), "test": len(changed.test)}
    assert changed.skipped["reason"].tolist() == ["dropped by the corrections"] * 2


def test_decisions_to_keep_change_nothing_that_a_later_stage_reads(
    project: Path, digits: Acquired, tmp_path: Path
) -> None:
    same = corrections.apply(digits, decide(project, digits.index, {0: ("keep", ""), 9: ("unsure", "")}))
    for name, acquired in (("one", digits), ("other", same)):
        data.save(tmp_path / name, acquired.train)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    pd.testing.assert_frame_equal(same.index, digits.index, check_dtype=False)
    assert same.card["sha256"] == digits.card["sha256"]


def test_the_source_changes_with_the_content_of_the_file(project: Path, digits: Acquired) -> None:
    options = Options(labels=decide(project, digits.index, {0: ("drop", "")}))
    plain, one = sources.fingerprint("digits"), sources.fingerprint("digits", options)
    decide(project, digits.index, {1: ("drop", "")})
    assert len({plain, one, sources.fingerprint("digits", options)}) == 3


def test_ones_own_images_are_corrected_and_keep_their_split(project: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (project / "pets" / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 255, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(project / "pets" / name / f"{number}.png")
    options = Options(image_size=16)
    before = sources.acquire("pets", options)
    first = before.index[(before.index["part"] != "test") & (before.index["label"] == "cat")].index[:2]
    file = decide(project, before.index, {first[0]: ("relabel", "dog"), first[1]: ("drop", "")})
    after = sources.acquire("pets", replace(options, labels=file))
    consistent(after)
    assert len(after.train) == len(before.train) - 1
    gone = before.index["path"][first[1]]
    left = before.index[before.index["path"] != gone]
    assert after.index["path"].tolist() == left["path"].tolist()
    assert after.index["part"].tolist() == left["part"].tolist()
    changed = after.index["label"].to_numpy() != left["label"].to_numpy()
    assert after.index["path"][changed].tolist() == [before.index["path"][first[0]]]
    kept = np.setdiff1d(np.arange(len(before.train)), before.index["row"][first[1]])
    assert np.array_equal(after.train.images[:], before.train.images[kept])
    assert (project / "pets" / gone).is_file()
    data.save(project / "train.npz", after.train)
    assert np.array_equal(data.load(project / "train.npz", 16).images[:], after.train.images[:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, r"1 of 2 rows of labels.csv match no image(?s:.)*line 2 (?s:.)*decide again"),
        ({"label": "nine"}, r"match no image of the data set by sha256 and label"),
        ({"decision": "perhaps"}, r"unknown decision 'perhaps' in line 2(?s:.)*keep, relabel, drop, unsure"),
        ({"decision": "relabel", "new_label": "77"}, r"gives the label '77' in line 2(?s:.)*not a class"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(
    project: Path, digits: Acquired, change: dict, message: str
) -> None:
    decide(project, digits.index, {0: ("drop", ""), 1: ("keep", "")})
    rows = pd.read_csv(project / FILE, dtype=str, keep_default_na=False)
    for name, value in change.items():
        rows.loc[0, name] = value
    rows.to_csv(project / FILE, index=False)
    with pytest.raises(UsageError, match=message):
        corrections.apply(digits, FILE)


def test_a_file_that_is_no_such_table_is_refused(project: Path, digits: Acquired) -> None:
    with pytest.raises(UsageError, match=r"There is no file labels.csv(?s:.)*relative to the project"):
        sources.fingerprint("digits", Options(labels=FILE))
    (project / FILE).write_text("sha256,path\n")
    with pytest.raises(
        UsageError, match=r"no column label, decision, new_label, part(?s:.)*save the file again"
    ):
        corrections.apply(digits, FILE)
    (project / FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"not a CSV file"):
        corrections.apply(digits, FILE)
    decide(project, digits.index, {0: ("drop", "")})
    (project / FILE).write_text((project / FILE).read_text() + (project / FILE).read_text().splitlines()[1])
    with pytest.raises(UsageError, match=r"decides twice about one image, in line 2"):
        corrections.apply(digits, FILE)


def test_a_class_without_training_images_is_refused(project: Path, digits: Acquired) -> None:
    rows = np.flatnonzero((digits.index["label"] == "4") & (digits.index["part"] != "test"))
    file = decide(project, digits.index, dict.fromkeys(rows.tolist(), ("drop", "")))
    with pytest.raises(UsageError, match=r"leaves no training image of class 4"):
        corrections.apply(digits, file)


def test_the_conclusion_keeps_the_test_part_apart(digits: Acquired) -> None:
    def worded(**test: int) -> str:
        counts = {"train": {"relabelled": 3, "dropped": 1}, "test": {"relabelled": 0, "dropped": 0, **test}}
        return data_card.conclude_corrections({"corrections": counts}).text

    assert worded().endswith(
        "3 images relabelled and 1 dropped in the training part. The test part is unchanged."
    )
    assert "In the test part: 1 image relabelled and 0 dropped." in worded(relabelled=1)
    assert "cannot be compared" in worded(dropped=1)
    assert "no corrections" in data_card.conclude_corrections(digits.card).text


def test_saved_decisions_come_back_as_the_explorer_reads_them(project: Path, digits: Acquired) -> None:
    decisions = corrections.read(decide(project, digits.index, {0: ("keep", ""), 5: ("drop", "")}))
    decisions = decisions.assign(path=["a\rb.png", 'c,"d".png'])
    corrections.save(decisions, project / "saved.csv")
    with (project / "saved.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [list(decisions), *decisions.to_numpy().tolist()]
