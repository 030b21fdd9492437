"""Images that may be bad files: dark, bright, blurred, tiny, oddly shaped, nearly empty, or unlike all others in format."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers import wording

COMMON = 0.05  # proportion of the images; what more of them have is how the data set is, so only outliers are listed
_OUTLIER = 3.5  # robust standard deviations; Iglewicz and Hoaglin's limit
COLUMNS = ("issue", "row", "path", "label", "value", "limit", "score", "reason")


@dataclass(frozen=True)
class Issue:
    """A measure of an image file, and from where on its value is suspicious.

    Attributes:
        name: the issue.
        measure: returns the measure, `[N]`, from the columns of the index; NaN where there is none.
        limit: values beyond are suspicious, whatever the other images are.
        sign: −1 if values below the limit are suspicious, 1 if those above are.
        reason: says what was measured; `{}` stands for the value.
    """

    name: str
    measure: Callable[[pd.DataFrame], pd.Series]
    limit: float
    sign: int
    reason: str


def _from_median(index: pd.DataFrame) -> pd.Series:
    """Return how many times larger or smaller a side is than the median side: 1 for a typical image, never less."""
    side = np.log(np.sqrt(index["width"] * index["height"].astype(float)))
    return np.exp(np.abs(side - side.median()))


# The first, second, fourth and sixth measure are CleanVision's, with its limits where one is named; brightness percentiles
# are those of a normal distribution with the image's mean and standard deviation.
ISSUES: tuple[Issue, ...] = (
    # CleanVision: the 99th percentile of the brightness is below 0.32
    Issue("dark", lambda t: t["brightness"] + 2.33 * t["contrast"], 82.0, -1, "about 99% of its pixels are below {:.0f} of 255"),
    # CleanVision: the 5th percentile of the brightness is above 0.95
    Issue("bright", lambda t: t["brightness"] - 1.64 * t["contrast"], 242.0, 1, "about 95% of its pixels are above {:.0f} of 255"),
    # photographs of 300 pixels have 0.1 and more; blurred by a Gaussian of 4 pixels, half of them are below 0.012
    Issue("blurred", lambda t: t["sharpness"] / t["contrast"].where(t["contrast"] > 1) ** 2, 0.03, -1, "edges are {:.3f} of the contrast"),
    # CleanVision's default is 3 bits
    Issue("low information", lambda t: t["entropy"], 3.0, -1, "its grey levels hold {:.1f} bits"),
    # below 32 pixels, every backbone has to enlarge the image
    Issue("tiny", lambda t: t[["width", "height"]].min(axis=1).astype(float), 32.0, -1, "its shorter side is {:.0f} pixels"),
    # CleanVision: the shorter side is less than 0.35 of the longer
    Issue("odd shape", lambda t: t[["width", "height"]].min(axis=1) / t[["width", "height"]].max(axis=1), 0.35, -1, "its sides are 1 : {:.2f}"),
    # three times the side is nine times the pixels
    Issue("odd size", _from_median, 3.0, 1, "off the median side by a factor of {:.1f}"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Quality:
    """Suspicious image files.

    Attributes:
        table: a row for each image and issue, by issue and then worst first: `issue`, `row` (in the part's arrays), `path`,
            `label`, `value` (of the measure), `limit`, `score` (distance from the median in robust standard deviations, in
            the direction of the issue), `reason`.
        common: by issue, the proportion of images beyond its limit, where that is more than `COMMON`.
        images: number of images examined.
    """

    table: pd.DataFrame
    common: dict[str, float]
    images: int

    @property
    def counts(self) -> dict[str, int]:
        """The number of listed images by issue, in the order of the table; issues without one are left out."""
        return self.table.groupby("issue", sort=False).size().to_dict()


def check(index: pd.DataFrame) -> Quality:
    """List the image files that are suspicious by the index's columns.

    An image is listed if its measure is beyond the issue's limit. Where more than a twentieth of the images are beyond it,
    as in a data set that is dark throughout, only those are listed that are outliers among the others too. A format or mode
    is odd if at most a twentieth of the images have it.

    Args:
        index: the index, one row per image.

    Source: CleanVision (github.com/cleanlab/cleanvision) for the measures and most limits; B. Iglewicz and D. Hoaglin
    (1993), "How to detect and handle outliers", for the modified z-score.

    Example:
        `quality.check(index_table)`
    """
    parts, common = [], {}
    for issue in ISSUES:
        values = issue.measure(index).astype(float)
        beyond, scores = issue.sign * (values - issue.limit) > 0, issue.sign * robust_scores(values)
        if beyond.mean() > COMMON:
            common[issue.name] = float(beyond.mean())
            beyond &= scores > _OUTLIER
        parts.append(_rows(index, issue.name, values, scores, issue.limit, issue.reason)[beyond])
    for name in ("format", "mode"):
        proportion = index[name].map(index[name].value_counts(normalize=True))
        words = index[name], proportion.map(wording.percent)
        reason = f"{name} {{}}, which {{}} of the images have"
        rows = _rows(index, f"odd {name}", proportion, 1 - proportion, COMMON, reason, *words)
        parts.append(rows[proportion <= COMMON])
    table = pd.concat([part.sort_values("score", ascending=False, kind="stable") for part in parts])
    return Quality(table.reset_index(drop=True), common, len(index))


def robust_scores(values: pd.Series) -> pd.Series:
    """Return modified z-scores: the distance from the median in units of 1.4826 times the median absolute deviation.

    Where more than half of the values are equal, the mean absolute deviation takes the place of the median one; where all
    are, scores are 0.
    """
    distances = values - values.median()
    unit = 1.4826 * distances.abs().median() or 1.2533 * distances.abs().mean() or 1.0
    return distances / unit


def _rows(
    index: pd.DataFrame, issue: str, values: pd.Series, scores: pd.Series, limit: float, reason: str, *words: pd.Series
) -> pd.DataFrame:  # fmt: skip
    reasons = [reason.format(*cells) for cells in zip(*words, values, strict=True)]
    facts = {"issue": issue, "value": values, "limit": limit, "score": scores, "reason": reasons}
    return index[["row", "path", "label"]].assign(**facts)[list(COLUMNS)]
