"""Numbers as words: one way for each quantity, in notebooks, report and command line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from helpers import paths

TITLES = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST", "digits": "Digits"}


def dataset_title(dataset: str) -> str:
    """Return the name of a data set as it is written in a sentence."""
    slug = paths.dataset_slug(dataset)
    return TITLES.get(slug, slug)


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as a percentage: `93.3%`; `> 99.9%` and `< 0.1%` for what would be rounded to all or nothing.

    Example:
        `wording.percent(0.933)`
    """
    percentage, step = round(100 * fraction, digits), 10.0**-digits
    if percentage == 100 and fraction < 1 - 1e-9:  # a mean of ones may be 1 − 1e-16
        return f"> {100 - step:.{digits}f}%"
    if percentage == 0 and fraction > 1e-9:
        return f"< {step:.{digits}f}%"
    return f"{100 * fraction:.{digits}f}%"


def interval(low: float, high: float) -> str:
    """Return two fractions as an interval of percentages, with rounded ends: `92.8 to 93.8%`."""
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def score(logged: Mapping[str, Any], name: str) -> str:
    """Return a logged score and its interval, `0.912 (0.905–0.918)`; a dash if it is undefined."""
    if logged.get(name) is None:
        return "–"
    ends = logged.get(f"{name}_ci95")
    return f"{logged[name]:.3f}" + (f" ({ends[0]:.3f}–{ends[1]:.3f})" if ends else "")


def p_value(value: float) -> str:
    """Return a p-value with three decimals: `p = 0.042`, `p < 0.001`."""
    text = "< 0.001" if value < 0.001 else "> 0.999" if value > 0.999 else f"= {value:.3f}"
    return f"p {text}"


def number(value: float, digits: int) -> str:
    """Return a number with a true minus sign, and zero without a sign."""
    return f"{value:z.{digits}f}".replace("-", "−")


def points(value: float) -> str:
    """Return a difference of two percentages, with two decimals and a true minus sign.

    `percent` has one decimal. Two percentages that are rounded to it can seem to differ by a tenth of a point more or less
    than they do, so that their difference needs one decimal more. `signed` and `difference` follow the same rule.
    """
    return number(value, 2)


def bound(value: float) -> str:
    """Return an upper bound of a small positive number: one digit, rounded up, without an exponent: `0.000002`.

    Example:
        `wording.bound(1.3e-6)`
    """
    exact = Decimal(repr(float(value)))
    return f"{exact.quantize(Decimal(1).scaleb(exact.adjusted()), ROUND_UP).normalize():f}"


def sources(names: Iterable[str]) -> str:
    """Return source files as a list in a sentence, each once, in the order of their stages."""
    return ", ".join(sorted(set(names)))


def duration(seconds: float) -> str:
    """Return a duration with two or three significant digits: `0.4 s`, `12 s`, `3.5 min`, `104 min`."""
    if seconds < 0.95:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.2g} min" if seconds < 9.5 * 60 else f"{seconds / 60:,.0f} min"


def count(number: float, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `no image`, `1 image`, `2,000 images`; `plural` if it is not formed by an s."""
    return f"{f'{number:,.0f}' if number else 'no'} {noun if number < 2 else plural or f'{noun}s'}"


def class_sizes(ratio: float) -> str:
    """Return how unequal classes are, from the images of the largest class divided by those of the smallest."""
    if ratio == 1:
        return "all classes have the same number of images"
    return f"the largest class has {ratio:.2f} times the images of the smallest"


def rows(values: Iterable[object], most: int = 5) -> str:
    """Return how many rows of a table hold such values, and the first different ones: `2 rows: 'cat', ''`."""
    values = list(values)
    return f"{count(len(values), 'row')}: {', '.join(map(repr, list(dict.fromkeys(values))[:most]))}"


def moment(iso: str) -> str:
    """Return an ISO time as `2025-01-31 09:30 UTC`."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def microseconds(value: float) -> str:
    """Return a time with three significant digits, in microseconds or, from 1,000 on, in milliseconds."""
    return f"{value / 1000:.3g} ms" if value >= 999.5 else f"{value:.3g} µs"


def milliseconds(value: float) -> str:
    """Return a time in milliseconds with two significant digits, never with an exponent: `0.45 ms`, `110 ms`.

    Example:
        `wording.milliseconds(row["latency_ms_1"])`
    """
    return f"{two_digits(value)} ms"


def two_digits(value: float) -> str:
    """Return a number rounded to two significant digits, without an exponent: `0.45`, `110`, `1,200`."""
    return f"{float(f'{value:.2g}'):,g}"


def listing(words: Sequence[str], joint: str = "and", most: int | None = None) -> str:
    """Return words as a list in a sentence: `a, b and c`; above a number of words, the first ones and how many more there are."""
    if most and len(words) > most:
        words = [*words[:most], f"{len(words) - most:,} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}"


def escape_markdown(text: object) -> str:
    """Return text on one line, without meaning to Markdown: class and file names may hold anything."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"^(\d*)([-+=.)]+)(?= |$)", r"\1\\\2", escaped)  # would begin a list or a heading


def capital(sentence: str) -> str:
    """Return a text with its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


@dataclass(frozen=True)
class ChangeWords:
    """A change in words.

    Attributes:
        before: the value before.
        after: the value after.
        difference: after − before, with its sign and unit.
        interval: 95% interval of the difference; "–" if there is none.
        p_value: of the test; "–" if there is none.
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
        share: whether the values are fractions, to be written as percentages with a difference in percentage points.
    """
    scale, digits = (100, 2) if share else (1, 3)
    words = percent if share else "{:.3f}".format
    unit = " points" if share else ""
    difference = f"{signed(scale * (after - before), digits)}{unit}"
    ends = " to ".join(signed(scale * end, digits) for end in interval or ())
    tested = "–" if p is None else p_value(p)
    return ChangeWords(words(before), words(after), difference, f"{ends}{unit}" if ends else "–", tested)


def signed(value: float, digits: int = 2) -> str:
    """Return a difference with its sign and a true minus, and with one more digit if it would be rounded to zero.

    Example:
        `wording.signed(-0.004)` is `"−0.004"`
    """
    for text in (f"{value:+.{digits}f}", f"{value:+.{digits + 1}f}"):
        if text.strip("+-0."):
            return text.replace("-", "−")
    return "±0"


TWO_NETWORKS = (
    "This compares two trained networks, not their methods: another seed of training would change both."
)


def estimate(compared: Mapping[str, Any], *, note: str = "") -> str:
    """Return a difference with its interval and p-value, without a verdict; the arguments are those of `difference`."""
    low, high = map(signed, compared["ci95"])
    unit = compared.get("unit", " points")
    tested = f", {p_value(compared['p_value'])}" if "p_value" in compared else ""
    return f"{signed(compared['points'])}{unit} (95% interval {low} to {high}{tested}{note})"


def difference(compared: Mapping[str, Any], *, note: str = "") -> str:
    """Return a tested difference in words; where it is not significant, with the largest difference that is excluded.

    A difference that is not significant is thus never called small, equal or noise: how small it is, the interval says.

    Args:
        compared: `points`, `ci95` and `shown` (significant); `p_value` and `unit` where they are known, as by `metrics.tested`.
        note: on the test, after the p-value.

    Example:
        `wording.difference({"points": 0.7, "ci95": [-0.1, 1.2], "p_value": 0.1, "shown": False})`
    """
    words = f"{estimate(compared, note=note)}, which is"
    if compared["shown"]:
        return f"{words} statistically significant"
    largest = points(max(abs(end) for end in compared["ci95"]))
    return f"{words} not statistically significant; a difference of more than {largest}{compared.get('unit', ' points')} is excluded"
