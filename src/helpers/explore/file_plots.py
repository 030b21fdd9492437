"""Figures of the image files: the worst of each quality issue, and how well each property tells the classes apart."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.explore.quality import Quality
from helpers.explore.shortcuts import FILE, PIXELS, Shortcuts


def worst_files(images: np.ndarray, quality: Quality, per_issue: int) -> Figure:
    """Return the worst images of each quality issue, one issue in a row.

    Args:
        images: `[N, H, W, C] uint8`, in the order of the index's `row`.
        quality: from `quality.check`.
        per_issue: images per row.

    Example:
        `run.show(file_plots.worst_files(train.images, files, issue_images), "quality")`
    """
    if quality.table.empty:
        return figures.sentence(f"None of {quality.images:,} image files is suspicious.")
    worst = quality.table.groupby("issue", sort=False).head(per_issue)
    names = {issue: f"{issue}\n{count:,}" for issue, count in quality.counts.items()}
    places = worst["issue"].map({issue: place for place, issue in enumerate(names)}).to_numpy()
    drawn = images[worst["row"].to_numpy(np.int64)]
    figure = figures.class_rows(drawn, places, list(names.values()), per_issue)
    first = worst.drop_duplicates("issue").set_index("issue")
    words = "; ".join(
        f"{issue} ({wording.count(number, 'image')}): {first.reason[issue]}"
        for issue, number in quality.counts.items()
    )
    alt = f"Up to {per_issue} images of each quality issue, the worst first: {words}."
    return figures.with_alt(figure, alt)


def shortcuts(leaks: Shortcuts) -> Figure:
    """Return the balanced accuracy of each property alone, with its interval and a line at guessing.

    Example:
        `run.show(file_plots.shortcuts(leaks), "shortcuts")`
    """
    if leaks.table.empty:
        return figures.sentence(
            "Fewer than two classes have ten independent images, so whether files give their class away is unknown."
            if leaks.classes < 2
            else "No property of the files differs between images, so none gives the class away."
        )
    table, guessing = leaks.table, 1 / leaks.classes
    figure, axes = figures.subplots(width=8.5, height=1.6 + 0.36 * len(table))
    axis, looks = axes[0, 0], {FILE: ("s", figures.COLORS[3]), PIXELS: ("o", figures.COLORS[0])}
    for kind, (marker, color) in looks.items():
        axis.plot([], [], marker, color=color, label=kind)
    for place, row in enumerate(table.itertuples()):
        marker, color = looks[row.kind]
        look = {"fmt": marker, "color": color} | ({} if row.telling else {"mfc": "white"})
        figures.draw_interval(axis, row.accuracy, (row.low, row.high), place, **look)
    axis.axvline(guessing, color="#777777", linestyle="--", label="guessing")
    figures.label_rows(axis, table["property"].tolist())
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlabel("balanced accuracy from this property alone (95% interval)\nfilled: tells classes apart")
    figure.legend(loc="outside upper right", ncols=3)
    best = table.iloc[0]
    return figures.with_alt(
        figure,
        f"Balanced accuracy with which the class can be predicted from each of {len(table)} properties alone; the highest is "
        f"{wording.percent(best.accuracy)} ({best.property}), guessing {wording.percent(guessing)}.",
    )
