"""A change's numbers as words, the same way in sentences, in tables and on the command line."""

from dataclasses import dataclass

from helpers.wording import p_value, percent


@dataclass(frozen=True)
class Words:
    """A change in words.

    Attributes:
        before: the value before.
        after: the value after.
        difference: what lies between them, signed and with its unit.
        interval: the 95 % interval of the difference; "–" where there is none.
        p_value: of the test; "–" where there is none.
    """

    before: str
    after: str
    difference: str
    interval: str
    p_value: str


def words(
    before: float, after: float, interval: tuple[float, float] | None, p: float | None, *, share: bool
) -> Words:
    """Return a change in words.

    Args:
        before: the value before.
        after: the value after.
        interval: 95 % interval of after − before, or None.
        p: p-value, or None.
        share: whether the values are shares, to be shown in per cent and their difference in percentage points.
    """
    scale, digits = (100, 1) if share else (1, 3)
    shown = percent if share else "{:.3f}".format
    unit = " points" if share else ""
    ends = [signed(scale * end, digits) for end in interval or ()]
    return Words(
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
