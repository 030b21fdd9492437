"""Stratified splits that keep groups together, stratified samples, and what a split shares with training."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from helpers.errors import OsemnError
from helpers.obtain.layouts.listing import PARTS
from helpers.obtain.options import Options


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split so that the same fraction of each class is held out, rounded, with at least one image on each side.

    Args:
        labels: `[N] int64`.
        fraction: proportion to hold out, between 0 and 1.
        seed: draws the images; the same seed gives the same split.

    Returns:
        The other indices and the indices held out, each sorted `int64`.

    Raises:
        OsemnError: a class has fewer than two images.

    Example:
        `splits.stratified_split(train.labels, fraction=0.1, seed=0)`
    """
    generator = np.random.default_rng(seed)
    rest, held_out = [], []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise OsemnError(
                f"Class {label} has {len(members)} image, which cannot be split.",
                "give it at least two images, or leave the class out",
            )
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held_out.append(members[:count])
        rest.append(members[count:])
    return _sorted(rest), _sorted(held_out)


def hold_out(
    labels: np.ndarray, together: np.ndarray, fraction: float, seed: int, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Split as `stratified_split` does, but never between images that belong together.

    Groups are taken in random order as long as they fit into what is still to be held out of each of their classes; then
    those that reduce what is missing; then the best one for each class without an image on one of the sides. Without groups
    it is the split of `stratified_split`. On the food photographs and on solar cells class proportions deviate by less than
    with scikit-learn's `StratifiedGroupKFold`, and any fraction can be held out (benchmarks/group_splits.py).

    Args:
        labels: `[N]` integers or text.
        together: `[N] int64`, the same number for images that must not be split.
        fraction: proportion to hold out, between 0 and 1.
        seed: draws the images; the same seed gives the same split.
        class_names: names by label, for messages.

    Returns:
        The other rows and the rows held out, each sorted `int64`.

    Raises:
        OsemnError: a class has fewer than two groups.

    Example:
        `splits.hold_out(train.labels, index["together"].to_numpy(), fraction=0.1, seed=0)`
    """
    present, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    numbers, groups, sizes = np.unique(together, return_inverse=True, return_counts=True)
    if sizes.max(initial=1) == 1:
        return stratified_split(labels, fraction, seed)
    members = sparse.csr_array((np.ones(len(groups)), (groups, classes)), shape=(len(numbers), len(present)))
    _check_groups(members, counts, [class_names[name] if class_names else name for name in present])
    wanted = np.clip(np.rint(counts * fraction), 1, counts - 1)
    generator = np.random.default_rng(seed)
    order = [generator.permutation(np.flatnonzero(classes == label)) for label in range(len(present))]
    rarest_first = np.argsort(counts, kind="stable")
    order = groups[np.concatenate([order[label] for label in rarest_first])]
    order = order[np.sort(np.unique(order, return_index=True)[1])]
    ends = zip(members.indptr[order], members.indptr[order + 1], strict=True)
    parts = [(members.indices[start:end], members.data[start:end]) for start, end in ends]
    held = _chosen_groups(parts, wanted, counts)
    held_out = np.isin(groups, order[held])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _chosen_groups(
    parts: list[tuple[np.ndarray, np.ndarray]], wanted: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return which groups are held out, `[G] bool`, from the classes and numbers of images of each, and the numbers wanted."""
    missing, left, held = wanted.copy(), counts.astype(float), np.zeros(len(parts), bool)

    def gain(index: int) -> float:
        """Return by how much a group reduces what is missing, relative to the sizes of its classes."""
        where, images = parts[index]
        lost = np.square(missing[where] - images) - np.square(missing[where])
        return -float(np.sum(lost / counts[where] ** 2))

    def hold(index: int) -> None:
        where, images = parts[index]
        missing[where] -= images
        left[where] -= images
        held[index] = True

    def possible(index: int) -> bool:
        where, images = parts[index]
        return not held[index] and bool((left[where] > images).all())

    for index, (where, images) in enumerate(parts):
        if (missing[where] >= images).all():
            hold(index)
    for index in range(len(parts)):
        if possible(index) and gain(index) > 0:
            hold(index)
    for label in range(len(counts)):
        if left[label] < counts[label]:
            continue
        choices = [index for index, (where, _) in enumerate(parts) if label in where and possible(index)]
        if choices:
            hold(max(choices, key=gain))
    return held


def _check_groups(members: sparse.csr_array, counts: np.ndarray, names: list[object]) -> None:
    """Raise an OsemnError if one group holds a whole class."""
    for label in np.flatnonzero(members.count_nonzero(axis=0) < 2):
        raise OsemnError(
            f"Class {names[label]} cannot be split: all of its {counts[label]} images belong together, as copies or members of one "
            "group.",
            "add images of the class from other groups, group by something else (group_by), or leave the class out",
        )


def class_deviation(labels: np.ndarray, held_out: np.ndarray) -> float:
    """Return by how many percentage points the proportion of a class in the part held out differs from all images, at most.

    Args:
        labels: `[N]` integers or text.
        held_out: `[M] int64`, rows.
    """
    present, classes = np.unique(labels, return_inverse=True)
    everything, part = (np.bincount(rows, minlength=len(present)) for rows in (classes, classes[held_out]))
    return float(100 * np.abs(part / max(len(held_out), 1) - everything / len(labels)).max())


def assign(table: pd.DataFrame, labels: np.ndarray, options: Options) -> pd.DataFrame:
    """Return the table with a part for every image; ready-made parts stay as they are.

    Without a test part, it is held out of all images, with `options.test_fraction` and `options.seed`. Images without a part
    join the training part. 03_preprocess splits off the validation part if there is none.

    Args:
        table: with the columns `label`, `part` (`""` for none) and `together`.
        labels: `[N] int64`, the class numbers.
        options: the fraction and the seed.

    Raises:
        OsemnError: there is no training image, a class cannot be split, or a part has a class that training lacks.

    Example:
        `splits.assign(table, labels, options)`
    """
    part = table["part"].where(table["part"] != "", "train")
    names = table.groupby(labels)["label"].first().to_dict()
    if not (part == "test").any():
        chosen = hold_out(labels, table["together"].to_numpy(), options.test_fraction, options.seed, names)[1]
        part.iloc[chosen] = "test"
    training = set(table["label"][part == "train"])
    for name in PARTS[1:]:
        lacking = sorted(set(table["label"][part == name]) - training)
        if lacking:
            raise OsemnError(
                f"The {name} part has images of {', '.join(lacking[:5])}, but the training part has none.",
                "move some of its images to the training part, or remove the class",
            )
    return table.assign(part=part)


def validation(
    table: pd.DataFrame, labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows for training and for validation: those of the data set's own parts, else of `hold_out`.

    Args:
        table: the index of the training part, in the order of its arrays.
        labels: `[N] int64`.
        fraction: as for `hold_out`.
        seed: as for `hold_out`.

    Raises:
        OsemnError: as for `hold_out`.

    Example:
        `splits.validation(data.load_training_index(run), train.labels, fraction=0.1, seed=0)`
    """
    ready_made = (table["part"] == "validation").to_numpy()
    if ready_made.any():
        return np.flatnonzero(~ready_made), np.flatnonzero(ready_made)
    return hold_out(labels, table["together"].to_numpy(), fraction, seed)


def shared_with_training(table: pd.DataFrame) -> pd.DataFrame:
    """Return the test images that have a copy or group member in the training or validation part.

    Columns: `row` (of the test image among the test images) and `training_row` (of the first such image in its part's file).

    Args:
        table: with the columns `together`, `part` and `row`.

    Example:
        `shared = splits.shared_with_training(index)`
    """
    test = table["part"] == "test"
    others = table[~test].drop_duplicates("together").set_index("together")["row"]
    shared = table[test & table["together"].isin(others.index)]
    pairs = pd.DataFrame({"row": shared["row"], "training_row": shared["together"].map(others)})
    return pairs.reset_index(drop=True)


def random_split_leak(table: pd.DataFrame, fraction: float, seeds: int = 20) -> np.ndarray:
    """Return how many test images of a plain stratified split would have a copy or group member in training.

    Args:
        table: with the columns `label` and `together`.
        fraction: proportion of the images in the test part.
        seeds: number of splits.

    Returns:
        The proportion of the test images, `[seeds]`.

    Example:
        `splits.random_split_leak(index, 0.2).mean()`
    """
    labels, groups = pd.factorize(table["label"], sort=True)[0], table["together"].to_numpy()
    drawn = (stratified_split(labels, fraction, seed) for seed in range(seeds))
    return np.array([np.isin(groups[test], groups[rest]).mean() for rest, test in drawn])


def stratified_sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Choose images so that the classes keep their proportions, and none is left out.

    Args:
        labels: `[N] int64`.
        size: number of images; all of them if there are fewer, and at least one of each class.
        seed: draws the images; the same seed gives the same sample.

    Returns:
        Sorted indices, `int64`: `min(size, N)` of them, or one for each class if that is more.

    Example:
        `splits.stratified_sample(train.labels, size=1000, seed=0)`
    """
    present, counts = np.unique(labels, return_counts=True)
    if size >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    generator = np.random.default_rng(seed)
    shares = _shares(counts, max(size, len(present)))
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(present, shares, strict=True)
    ]
    return _sorted(chosen)


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Divide `size` by the method of largest remainders, with at least one for each class."""
    exact = counts * (size / counts.sum())
    shares = np.clip(np.floor(exact).astype(np.int64), 1, counts)
    while shares.sum() < size:
        lacking = np.where(shares < counts, exact - shares, -np.inf)
        shares[np.argmax(lacking)] += 1
    while shares.sum() > size:
        excess = np.where(shares > 1, shares - exact, -np.inf)
        shares[np.argmax(excess)] -= 1
    return shares


def _sorted(parts: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(parts)).astype(np.int64)
