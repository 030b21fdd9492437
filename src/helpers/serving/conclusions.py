"""What the tests of the service establish, in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.series.conclusions import Conclusion
from helpers.serving import drift_power
from helpers.wording import bound, count, listing

DETECTED = 0.9  # the proportion of windows that must raise an alarm for a change to count as detected
ENOUGH_FOR_P99 = 1_000  # responses: the 99th percentile of fewer rests on less than ten of them


def agreement(given: np.ndarray, expected: np.ndarray) -> Conclusion:
    """Return whether the service predicts what the champion predicted in its evaluation.

    Args:
        given: `[N, K]`, the service's probabilities.
        expected: `[N, K]`, the champion's.

    Example:
        `run.conclude(conclusions.agreement(given, expected))`
    """
    same = int((given.argmax(axis=1) == expected.argmax(axis=1)).sum())
    largest = float(np.abs(given - expected).max())
    return Conclusion(
        "agreement",
        f"The service predicts the champion's class for {same:,} of {len(given):,} test images; its probabilities differ from the "
        f"champion's by at most {bound(largest)}.",
        {"same_class": same, "sent": len(given), "largest_difference": largest},
    )


def bad_input(statuses: Mapping[str, int], status_after: int) -> Conclusion:
    """Return whether bad input is refused without harm.

    Args:
        statuses: HTTP status by kind of bad input.
        status_after: HTTP status of a valid image sent afterwards.

    Example:
        `run.conclude(conclusions.bad_input(refused["status"].to_dict(), 200))`
    """
    accepted = [name for name, status in statuses.items() if not 400 <= status < 500]
    first = f"The service refuses all {len(statuses)} kinds of bad input with a status from 400 to 499 and a reason"
    if accepted:
        first = f"The service does not refuse {len(accepted)} of {len(statuses)} kinds of bad input: {listing(accepted)}"
    after = "is classified" if status_after == 200 else f"fails with status {status_after}"
    numbers = {"statuses": dict(statuses), "status_after": status_after}
    return Conclusion("bad_input", f"{first}. A valid image sent afterwards {after}.", numbers)


def single(load: pd.DataFrame) -> pd.Series:
    """Return the measurement of one worker and the fewest connections, with one image per request."""
    rows = load[(load["workers"] == 1) & (load["pictures"] == 1)]
    return rows.sort_values("connections").iloc[0]


def latency(load: pd.DataFrame, model_ms: float) -> Conclusion:
    """Return how long one image takes.

    Args:
        load: rows of `load_test.measured`.
        model_ms: the time of the bare model for one image.

    Example:
        `run.conclude(conclusions.latency(load, parts["model"]))`
    """
    row = single(load)
    times = float(row["p50"]) / model_ms
    return Conclusion(
        "latency",
        f"Classifying one image over HTTP takes {row['p50']:.2f} ms (median of {row['answers']:,.0f} responses, one worker, "
        f"{count(row['connections'], 'connection')}), {times:.1f} times as long as the bare model.",
        {"p50_ms": float(row["p50"]), "model_ms": model_ms, "p50_over_model": times},
    )


def throughput(load: pd.DataFrame) -> Conclusion:
    """Return how many images per second the service classifies at best, and how long these requests take.

    Example:
        `run.conclude(conclusions.throughput(load))`
    """
    best = load.loc[(load["per_second"] * load["pictures"]).idxmax()]
    images = float(best["per_second"] * best["pictures"])
    percent, column = (99, "p99") if best["answers"] >= ENOUGH_FOR_P99 else (95, "p95")
    nouns = {"workers": "worker", "connections": "connection", "pictures": "image"}
    workers, connections, batch = (count(best[name], noun) for name, noun in nouns.items())
    return Conclusion(
        "throughput",
        f"Of the {len(load)} settings tried, the service classifies most images with {workers}, {connections} and {batch} per request: "
        f"{images:,.0f} per second; half of the responses then come within {best['p50']:.1f} ms, {percent}% within {best[column]:.1f} ms.",
        {"images_per_second": images, "p50_ms": float(best["p50"]), f"{column}_ms": float(best[column])},
    )


def naive_service(rates: pd.DataFrame, connections: int) -> Conclusion:
    """Return how many times as many requests the service answers as endpoints that call the model for each request.

    Args:
        rates: from `load_test.compare`: responses per second, the service's in the first column.
        connections: of each.

    Example:
        `run.conclude(conclusions.naive_service(rates, 16))`
    """
    service, *others = rates
    times = {name: (rates[service] / rates[name]).tolist() for name in others}
    compared = [
        f"{np.median(values):.1f} times as many requests as an endpoint that calls {name} for each "
        f"({min(values):.1f} to {max(values):.1f} in {count(len(values), 'round')})"
        for name, values in times.items()
    ]
    text = f"With {count(connections, 'connection')} and one worker, the service answers {listing(compared)}."
    return Conclusion("naive_service", text, {"times": times})


def drift(alarms: pd.DataFrame, power: pd.DataFrame) -> Conclusion:
    """Return which changes the drift monitor detects with the middle one of its windows, and how often it raises false alarms.

    Args:
        alarms: from `drift_power.false_alarms`.
        power: from `drift_power.measure`.

    Example:
        `run.conclude(conclusions.drift(alarms, power))`
    """
    if alarms.empty or power.empty:
        return Conclusion("drift", "There are too few validation images to watch for drift.")
    sizes = sorted(power["window"].unique().tolist())
    window = sizes[len(sizes) // 2]
    frame = power[power["window"] == window]
    # strengths are in ascending order
    detected = frame[frame["rate"] >= DETECTED].groupby("kind", sort=False)["strength"].first().to_dict()
    missed = frame[frame["rate"] < 0.5].groupby("kind", sort=False)["strength"].last().to_dict()
    false, windows = alarms[["detected", "windows"]].sum().tolist()
    return Conclusion(
        "drift",
        f"In at least {DETECTED:.0%} of windows of {window} images the drift monitor detects {_changes(detected)}, and stronger "
        f"changes; in most of them it misses {_changes(missed)}. {false:,} of {windows:,} windows without drift raised a false "
        f"alarm; at most {drift_power.expected_alarms(windows):.2g} are expected.",
        {"window": window, "detected": detected, "missed": missed, "false_alarms": false, "windows": windows},
    )


def _changes(strengths: Mapping[str, str]) -> str:
    named = [f"{kind} ({strength})" for kind, strength in strengths.items()]
    return listing(named) if named else "none of the changes"
