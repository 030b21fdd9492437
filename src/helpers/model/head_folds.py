"""Cross-validation of the heads of 05 where there are few images: there without the test part, in 07 with it."""

import json
from collections.abc import Callable, Sequence

import numpy as np

from helpers.model import out_of_fold, transfer
from helpers.model.backbones import features
from helpers.model.head_choice import DENSE, Examples, Head
from helpers.model.out_of_fold import OutOfFold
from helpers.obtain import data
from helpers.scrub.augment import AugmentationPolicy
from helpers.series import stages
from helpers.series.runs import Run

FILE = "out_of_fold.npz"
"""What 05 and 07 write if there are few images."""


def cross_validate(
    source: features.Extractor,
    parts: Sequence[data.Dataset],
    together: np.ndarray,
    settings: transfer.HeadSettings,
    head: Head = DENSE,
    *,
    folds: int,
    repeats: int,
    views: Sequence[features.View] = (),
    fewer_than: int | None = None,
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> OutOfFold | None:
    """Cross-validate heads on the frozen features of all images, or return None if there are enough images without that.

    Args:
        source: the backbone.
        parts: the images; the result has the rows of all parts, one part after the other.
        together: number of each image's group, `[N] int64`.
        settings: of dense heads and their training.
        head: the kind of head.
        folds: number of folds.
        repeats: number of repeats.
        views: mirrored or augmented views of the images in training, in addition to the original images.
        fewer_than: return None if there are not fewer images than this.
        progress: called with the number of images done, the number of all images and a note.

    Raises:
        OsemnError: as for `features.extract` and `out_of_fold.cross_validated`.

    Example:
        `few = head_folds.cross_validate(source, [everything], together, settings, folds=5, repeats=3, fewer_than=2_000)`
    """
    labels = np.concatenate([part.labels for part in parts])
    if fewer_than is not None and len(labels) >= fewer_than:
        return None
    seen = [
        np.concatenate(
            [features.extract(source, part.images, view=view, progress=progress).values for part in parts]
        )
        for view in (None, *views)
    ]
    given = [np.ones(len(part)) if part.weights is None else part.weights for part in parts]
    weights = np.concatenate(given) if any(part.weights is not None for part in parts) else None
    examples = Examples(seen, labels, parts[0].num_classes, settings, weights)
    drawn = {"folds": folds, "repeats": repeats, "seed": settings.seed}
    return out_of_fold.cross_validated(examples.trainer(head), labels, together, **drawn)


def with_test(run: Run, parts: Sequence[data.Dataset], together: np.ndarray) -> OutOfFold | None:
    """Repeat the cross-validation of 05 with the test part; None for another candidate, or if 05 had enough images.

    Args:
        run: of 07.
        parts: the complete training part and the test part.
        together: as for `cross_validate`.

    Raises:
        OsemnError: as for `cross_validate`.

    Example:
        `few = head_folds.with_test(run, [everything, test], together)`
    """
    stage = stages.CANDIDATES["transfer"]
    if FILE not in run.upstream.get(stage, {"outputs": ()})["outputs"]:
        return None
    values = run.upstream[stage]["parameters"]
    names = ("head_units", "dropout", "epochs", "batch_size", "learning_rate", "seed")
    settings = transfer.HeadSettings(*(values[name] for name in names))
    shape = parts[0].image_shape
    of_05 = json.loads(run.input(stage, "metrics.json").read_text(encoding="utf-8"))
    source = features.extractor(of_05["backbone"], shape, of_05["resolution"], values["interpolation"])
    policy = json.loads(run.input("03_preprocess", "augmentation.json").read_text(encoding="utf-8"))
    with np.load(run.input(stage, FILE), allow_pickle=False) as saved:
        copies = bool(saved["mirrored"]), int(saved["augmented"])
    views = features.further_views(*copies, AugmentationPolicy.from_dict(policy), values["seed"])
    sizes = {name: values[name] for name in ("folds", "repeats")}
    return cross_validate(source, parts, together, settings, Head(**of_05["head"]), views=views, **sizes)
