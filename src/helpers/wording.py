"""Numbers as words, the same way wherever the report shows them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

from helpers import paths

TITLES = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST", "digits": "Digits"}


def dataset_title(dataset: str) -> str:
    """Return what a data set is called in a sentence."""
    slug = paths.dataset_slug(dataset)
    return TITLES.get(slug, slug)


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{100 * share:.1f}%"


def interval(low: float, high: float) -> str:
    """Return two shares as an interval of percentages."""
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def score(found: Mapping[str, Any], name: str) -> str:
    """Return a logged score and its interval, `0.912 (0.905–0.918)`; a dash where it could not be computed."""
    if found.get(name) is None:
        return "–"
    ends = found.get(f"{name}_ci95")
    return f"{found[name]:.3f}" + (f" ({ends[0]:.3f}–{ends[1]:.3f})" if ends else "")


def p_value(value: float) -> str:
    """Return a p-value with three decimals: `p = 0.042`, `p < 0.001`."""
    shown = "< 0.001" if value < 0.001 else "> 0.999" if value > 0.999 else f"= {value:.3f}"
    return f"p {shown}"


def points(value: float) -> str:
    """Return a difference of two percentages with one decimal and a true minus sign."""
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")


def bound(value: float) -> str:
    """Return what a small number, not below 0, is at most: one digit, rounded up, without an exponent: `0.000002`."""
    exact = Decimal(repr(float(value)))
    return f"{exact.quantize(Decimal(1).scaleb(exact.adjusted()), ROUND_UP).normalize():f}"


def sources(names: Iterable[str]) -> str:
    """Return the files that a sentence's numbers come from, each once, in the order of their stages."""
    return ", ".join(sorted(set(names)))


def duration(seconds: float) -> str:
    """Return a duration with two significant digits or all of its minutes: `0.4 s`, `12 s`, `3.5 min`, `104 min`."""
    if seconds < 0.95:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.2g} min" if seconds < 9.5 * 60 else f"{seconds / 60:,.0f} min"


def microseconds(value: float) -> str:
    """Return a time in microseconds with three significant digits, in milliseconds where that reads better."""
    return f"{value / 1000:.3g} ms" if value >= 999.5 else f"{value:.3g} µs"


def listing(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: class and file names may hold characters that mean something there."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)


def capital(sentence: str) -> str:
    """Return words with a capital in front, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


@dataclass(frozen=True)
class ChangeWords:
    """A change in words.

    Attributes:
        before: the value before.
        after: the value after.
        difference: what lies between them, signed and with its unit.
        interval: the 95% interval of the difference; "–" where there is none.
        p_value: of the test; "–" where there is none.
    """

    before: str
    after: str
    difference: str
    interval: str
    p_value: str


def change_words(
    before: float, after: float, interval: tuple[float, float] | None, p: float | None, *, share: bool
) -> ChangeWords:
    """Return a change in words.

    Args:
        before: the value before.
        after: the value after.
        interval: 95% interval of after − before, or None.
        p: p-value, or None.
        share: whether the values are shares, to be shown in per cent and their difference in percentage points.
    """
    scale, digits = (100, 1) if share else (1, 3)
    shown = percent if share else "{:.3f}".format
    unit = " points" if share else ""
    ends = [signed(scale * end, digits) for end in interval or ()]
    return ChangeWords(
        shown(before),
        shown(after),
        f"{signed(scale * (after - before), digits)}{unit}",
        f"{ends[0]} to {ends[1]}{unit}" if ends else "–",
        "–" if p is None else p_value(p),
    )


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, a true minus, and one digit more where it would else be rounded to nothing."""
    if value == 0:
        return "±0"
    shown = f"{value:+.{digits}f}"
    if not shown.strip("+-0."):
        shown = f"{value:+.{digits + 1}f}"
    return shown.replace("-", "−") if shown.strip("+-0.") else "±0"
