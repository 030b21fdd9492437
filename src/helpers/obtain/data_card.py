"""The data card: origin, content and hashes of a data set, and what 01_acquire concludes from it."""

from typing import Any

import pandas as pd

from helpers import wording
from helpers.obtain import data
from helpers.obtain.images import pictures
from helpers.obtain.layouts import listing
from helpers.series.conclusions import Conclusion

_NAMES = 20  # of classes in a line of text; more hide the other lines
_REASONS = 3  # named in a sentence; skipped.csv has all


def build(
    origin: dict[str, Any],
    train: data.Dataset,
    test: data.Dataset,
    table: pd.DataFrame,
    skipped: pd.DataFrame,
) -> dict[str, Any]:
    """Return the data card, as plain JSON types.

    Args:
        origin: title, licence, source and files of the data set; `people` holds the accuracy of people, their number of images
            and the source, where somebody measured it; `near_copies` says whether more pairs of images were alike
            than could be compared (`capped`), and how many images look like many others (`alike`).
        train: the training part.
        test: the test part.
        table: the index of both.
        skipped: the files that were left out: `path`, `reason`, `ending`, `unreadable`.
    """
    mean, sd = data.pixel_mean_and_sd(train.images)
    parts = {"train": train, "test": test}
    unreadable = skipped["unreadable"].astype(bool)
    return {
        "first_source": origin["source"],
        "preparation": {},
        "people": None,
        "near_copies": {"capped": False, "alike": 0},
        **origin,
        "class_names": list(train.class_names),
        "image_shape": list(train.image_shape),
        "dtype": str(train.images.dtype),
        "counts": {name: len(part) for name, part in parts.items()},
        "class_counts": {
            name: dict(zip(part.class_names, part.class_counts().tolist(), strict=True))
            for name, part in parts.items()
        },
        "sha256": {name: data.array_sha256(part.images, part.labels) for name, part in parts.items()},
        "pixel_mean": mean,
        "pixel_sd": sd,
        "unreadable_files": int(unreadable.sum()),
        "skipped_files": int((~unreadable).sum()),
        "unreadable_reasons": skipped.loc[unreadable, "reason"].value_counts().to_dict(),
        **_files(table),
        **_copies(table),
    }


def _files(table: pd.DataFrame) -> dict[str, Any]:
    """Return the formats, sizes and ranges of the files, and how many lose more than a tenth of their area to a centre crop."""
    sides = table[["width", "height"]]
    lost = pictures.lost_to_crop(table["width"], table["height"])
    return {
        "formats": table["format"].value_counts().to_dict(),
        "smallest_side": int(sides.min(axis=None)),
        "largest_side": int(sides.max(axis=None)),
        "lowest_value": float(table["low"].min()),
        "highest_value": float(table["high"].max()),
        "files_with_damaged_metadata": int(table["damaged_metadata"].sum()),
        "images_losing_a_tenth_to_a_crop": int((lost > 0.1).sum()),
    }


def _copies(table: pd.DataFrame) -> dict[str, Any]:
    """Count the images that belong together, and those of the test part that have a copy or a group member in training.

    Of the files with the same bytes and different labels, the paths of the first ones are named.
    """
    in_test = table["part"] == "test"
    contradicting = table[table.groupby("sha256")["label"].transform("nunique") > 1]
    first = contradicting[contradicting["sha256"] == contradicting["sha256"].min()]
    sizes = table.groupby("together")["id"].transform("size")

    def also_in_training(column: str) -> int:
        return int(table.loc[in_test, column].isin(set(table.loc[~in_test, column])).sum())

    return {
        "images_with_copies": int((sizes > 1).sum()),
        "groups_of_copies": int(table.loc[sizes > 1, "together"].nunique()),
        "exact_copies": int(table["sha256"].duplicated().sum()),
        "copies_with_different_labels": contradicting["sha256"].nunique(),
        "first_with_different_labels": first.drop_duplicates("label")["path"].head(2).tolist(),
        "largest_group": int(sizes.max()),
        "test_images_also_in_training": also_in_training("sha256"),
        "test_images_related_to_training": also_in_training("together"),
    }


def rows(card: dict[str, Any]) -> dict[str, str]:
    """Return a data card's main facts as text, by name.

    Example:
        `pd.Series(data_card.rows(card))`
    """
    counts, names = card["counts"], card["class_names"]
    return {
        "data set": card["title"],
        "about": card["about"],
        "licence": card["licence"],
        "first fetched from": card["first_source"],
        "source of this run": card["source"],
        "images": f"{sum(counts.values()):,}: {counts['train']:,} for training, {counts['test']:,} for the test",
        "parts": card["split"],
        "classes": f"{len(names)}: {', '.join(names[:_NAMES])}{', …' if len(names) > _NAMES else ''}",
        "an image": f"{_image_size(card)}, {card['dtype']}",
        "pixel mean and deviation": f"{card['pixel_mean']:.5f} and {card['pixel_sd']:.5f} (0–1, training part)",
        "files": _described_files(card),
        "unreadable files": str(card["unreadable_files"]),
        "files left out for another reason": str(card["skipped_files"]),
        "test images also in training": str(card["test_images_also_in_training"]),
        "test images with a near copy or group member in training": str(
            card["test_images_related_to_training"]
        ),
    }


def left_out(skipped: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Return the files that were left out by reason and ending: how many, and the first of them; the most frequent first.

    Args:
        skipped: `path`, `reason` and `ending` of each.
        most: number of rows.

    Example:
        `data_card.left_out(acquired.skipped)`
    """
    by = skipped.groupby(["reason", "ending"], sort=False)["path"]
    return by.agg(files="size", first="first").sort_values("files", ascending=False).reset_index().head(most)


def _told_size(card: dict[str, Any]) -> str:
    """Return the size of the images: of one's own, that of the files and that of the stages."""
    if not card["preparation"]:
        return f"of {_image_size(card)}"
    return (
        f"(sides of {_sides(card)} pixels; read at {_image_size(card)}, or at the size that a network takes)"
    )


def _sides(card: dict[str, Any]) -> str:
    low, high = card["smallest_side"], card["largest_side"]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _described_files(card: dict[str, Any]) -> str:
    formats = ", ".join(f"{count:,} {name}" for name, count in card["formats"].items())
    values = f"values from {card['lowest_value']:g} to {card['highest_value']:g}"
    text = f"{formats}; sides of {_sides(card)} pixels; {values}"
    fit = card["preparation"].get("fit")
    if fit:
        many = card["images_losing_a_tenth_to_a_crop"]
        loss = f"{many:,} images lose" if many != 1 else "1 image loses"
        text += f"; fit: {fit} ({loss} more than a tenth of the area to a centre crop)"
    return text


def hashes(card: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of each published file and of the arrays of each part, by name.

    Example:
        `pd.Series(data_card.hashes(card))`
    """
    files = {name: facts["sha256"] for name, facts in card["files"].items()}
    return files | {f"{name} arrays": value for name, value in card["sha256"].items()}


def conclude_content(card: dict[str, Any]) -> Conclusion:
    """Conclude what a data set holds, and where it was fetched from.

    Example:
        `run.conclude(data_card.conclude_content(card))`
    """
    counts, classes = card["counts"], card["class_counts"]["train"].values()
    low, high = min(classes), max(classes)
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    unreadable, damaged = card["unreadable_files"], card["files_with_damaged_metadata"]
    text = (
        f"{card['title']} (source: {card['source']}) has {counts['train']:,} training images and {counts['test']:,} test images "
        f"{_told_size(card)}, in {len(classes)} classes with {each} training images each. {_told_left_out(card)}"
    )
    if alike := listing.spelled_alike(card["class_names"]):
        quoted = [f"'{name}'" for name in alike[0]]
        text += (
            f" Warning: {wording.listing(quoted)} are different classes by their spelling. If they "
            "are one class, correct the labels."
        )
    cropped = card["images_losing_a_tenth_to_a_crop"]
    if cropped and card["preparation"].get("fit") == "crop":
        text += (
            f" Images that lose more than a tenth of their area to the centre crop: {cropped:,}. If what matters may lie at "
            "their edges, choose 01_acquire.fit=pad."
        )
    if damaged:
        text += (
            f" Files with damaged metadata: {damaged:,}; their pixels are intact, but they may lie on their side, and their time "
            "and camera may be missing."
        )
    numbers = {**counts, "classes": len(classes), "smallest": low, "largest": high, "unreadable": unreadable}
    return Conclusion("content", text, numbers | {"damaged_metadata": damaged, "cropped": cropped})


def _told_left_out(card: dict[str, Any]) -> str:
    """Return how many files were left out, and why those are unreadable."""
    unreadable, other = card["unreadable_files"], card["skipped_files"]
    reasons = [f"{reason}: {count:,}" for reason, count in card["unreadable_reasons"].items()]
    more = ["…"] if len(reasons) > _REASONS else []
    text = f"Unreadable files: {unreadable:,}"
    text += f" ({'; '.join(reasons[:_REASONS] + more)})." if reasons else "."
    if other:
        text += f" Files left out for another reason: {other:,}."
    return text + (" 01_acquire/skipped.csv lists each." if unreadable or other else "")


def conclude_groups(card: dict[str, Any]) -> Conclusion:
    """Conclude how many images are copies of each other or belong to a group, and how the series splits them.

    Example:
        `run.conclude(data_card.conclude_groups(card))`
    """
    names = ("images_with_copies", "groups_of_copies", "exact_copies", "largest_group")
    numbers = {name: card[name] for name in names} | card["near_copies"]
    numbers["copies_with_different_labels"] = contradicting = card["copies_with_different_labels"]
    text = "No image has an exact or near copy, and none belongs to a group."
    if card["images_with_copies"]:
        text = (
            f"{card['images_with_copies']:,} images are exact or near copies of another one or belong to a group with it "
            f"({card['exact_copies']:,} exact copies; {card['groups_of_copies']:,} sets, the largest of "
            f"{card['largest_group']:,}). Every split that the series makes keeps each set in one part."
        )
    if contradicting:
        paths = list(filter(None, card["first_with_different_labels"]))  # an image of an array has none
        text += (
            f" Images that occur with different labels: {contradicting:,}"
            f"{f', such as {wording.listing(paths)}' if paths else ''}. At least one label of each is an error."
        )
    if numbers["alike"]:
        text += (
            f" {numbers['alike']:,} images look like many others, as a kind of image rather than copies do: of "
            "these, only nearly equal ones count as copies, so that some copies may be missed."
        )
    if numbers["capped"]:
        text += " More pairs of images are alike than can be compared, so that the least alike were not."
    return Conclusion("copies", text, numbers)


def conclude_overlap(card: dict[str, Any]) -> Conclusion:
    """Conclude how many test images are also training images, or are near copies or group members of them.

    Example:
        `run.conclude(data_card.conclude_overlap(card))`
    """
    shared, related = card["test_images_also_in_training"], card["test_images_related_to_training"]
    total = card["counts"]["test"]
    if not related:
        text = f"None of the {total:,} test images has an exact or near copy, or a member of its group, among the training images."
    else:
        text = (
            f"{related:,} of the {total:,} test images ({wording.percent(related / total)}) have a copy or a member of their "
            f"group among the training images; {shared:,} are exact copies. The evaluation reports the accuracy with and "
            "without them."
        )
    numbers = {"shared_images": shared, "related_images": related, "test_images": total}
    return Conclusion("test_in_training", text, numbers)


def conclude_corrections(card: dict[str, Any]) -> Conclusion:
    """Conclude what the corrections of labels changed, those of the test part apart.

    Example:
        `run.conclude(data_card.conclude_corrections(card))`
    """
    counts = card.get("corrections")
    if counts is None:
        return Conclusion("corrections", "The labels are those of the source: no corrections were given.")
    train, test = (
        f"{wording.count(counts[part]['relabelled'], 'image')} relabelled and {counts[part]['dropped']:,} dropped"
        for part in ("train", "test")
    )
    text = f"Corrections of labels: {train} in the training part."
    if any(counts["test"].values()):
        text += (
            f" In the test part: {test}. People looked at them because a model disagreed with the label, so that accuracies on "
            "the corrected test part are too favourable to that model, and cannot be compared with those before."
        )
    else:
        text += " The test part is unchanged."
    numbers = {f"{part}_{what}": count for part in counts for what, count in counts[part].items()}
    return Conclusion("corrections", text, numbers)


def _image_size(card: dict[str, Any]) -> str:
    height, width, channels = card["image_shape"]
    return f"{height} × {width} pixels, {'grey' if channels == 1 else 'colour'}"
