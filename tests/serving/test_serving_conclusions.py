"""The conclusions of 11_serving follow from their numbers."""

import numpy as np
import pandas as pd

from helpers import figures
from helpers.serving import conclusions, drift_power, load_test, plots


def row(**changes) -> dict[str, float]:
    """Return a measurement as `load_test.measured` gives it."""
    usual = {"workers": 1, "connections": 1, "pictures": 1, "answers": 2_000, "per_second": 500.0}
    return {**usual, "p50": 2.0, "p95": 3.0, "p99": 4.0, "failed": 0, **changes}


LOAD = pd.DataFrame(
    [
        row(connections=4, per_second=900.0, p50=4.4),
        row(),
        row(pictures=64, answers=100, per_second=50.0, p50=20.0, p95=25.0, p99=30.0),
        row(workers=2, connections=4, per_second=1_700.0),
    ]
)


def test_agreement_counts_equal_classes_and_bounds_the_difference():
    given = np.array([[0.9, 0.1], [0.4, 0.6]])
    conclusion = conclusions.agreement(given, given[::-1])
    assert "0 of 2 test images" in conclusion.text
    assert "at most 0.5" in conclusion.text
    assert "2 of 2 test images" in conclusions.agreement(given, given + np.array([1e-7, -1e-7])).text


def test_bad_input_that_is_accepted_or_does_harm_is_named():
    good = conclusions.bad_input({"nothing": 400, "an SVG": 415}, 200)
    assert "refuses all 2 kinds" in good.text
    assert good.text.endswith("A valid image sent afterwards is classified.")
    bad = conclusions.bad_input({"nothing": 400, "an SVG": 200, "NaN": 500}, 503)
    assert "does not refuse 2 of 3 kinds of bad input: an SVG and NaN" in bad.text
    assert "fails with status 503" in bad.text


def test_latency_is_that_of_one_worker_and_the_fewest_connections():
    conclusion = conclusions.latency(LOAD, 0.5)
    assert "takes 2.00 ms (median of 2,000 responses, one worker, 1 connection), 4.0 times" in conclusion.text


def test_throughput_counts_images_and_names_a_percentile_that_the_responses_support():
    assert (
        "Of the 4 settings tried, the service classifies most images with 1 worker, 1 connection and 64 images per request: 3,200 per"
        in (conclusions.throughput(LOAD).text)
    )
    assert "95% within 25.0 ms" in conclusions.throughput(LOAD).text
    single = LOAD[LOAD["pictures"] == 1]
    assert "99% within 4.0 ms" in conclusions.throughput(single).text


def test_naive_service_is_compared_by_the_ratios_of_rounds():
    rates = pd.DataFrame({"service": [500.0, 400.0, 600.0], "model(x)": [100.0, 100.0, 100.0]})
    conclusion = conclusions.naive_service(rates, 16)
    assert (
        "answers 5.0 times as many requests as an endpoint that calls model(x) for each (4.0 to 6.0 in 3 rounds)."
        in conclusion.text
    )
    assert conclusion.numbers == {"times": {"model(x)": [5.0, 4.0, 6.0]}}


def test_drift_says_what_is_detected_what_is_missed_and_how_often_it_is_wrong():
    power = [
        ("rotation", strength, window, 60, detected, detected / 60)
        for strength, counts in (("5°", (0, 2, 60)), ("10°", (1, 40, 60)), ("20°", (30, 58, 60)))
        for window, detected in zip((30, 200, 500), counts, strict=True)
    ]
    power = pd.DataFrame(power, columns=drift_power.COLUMNS)
    alarms = pd.DataFrame([("none", "", 200, 1_000, 2, 0.002)], columns=drift_power.COLUMNS)
    text = conclusions.drift(alarms, power).text
    assert "windows of 200 images the drift monitor detects rotation (20°), and stronger changes" in text
    assert "in most of them it misses rotation (5°)." in text
    assert "2 of 1,000 windows without drift raised a false alarm; at most 2.1 are expected." in text
    nothing = conclusions.drift(alarms, power[:2]).text
    assert "detects none of the changes" in nothing


def test_figures_carry_their_numbers_as_alt_text():
    assert "At best 1,700 requests per second" in figures.alt_text(plots.latency_and_throughput(LOAD))
    assert "decode 0.10, model 0.20" in figures.alt_text(plots.cost({"decode": 0.1, "model": 0.2}))


def test_endpoints_take_turns_and_one_without_a_response_counts_as_slow_as_it_may_be(monkeypatch):
    ports = []

    def load(port, requests, **options):
        ports.append(port)
        assert requests == [load_test.post(b"image", path=f"/{port}")]
        assert options == {"connections": 4, "seconds": 2.0, "at_least": 1}
        return load_test.Load(2.0, np.ones(port), {200: port})

    monkeypatch.setattr(load_test, "load", load)
    ways = {"service": (6, "/6"), "slow": (0, "/0")}
    rates = load_test.compare(ways, [b"image"], connections=4, seconds=2.0, rounds=2)
    assert ports == [6, 0, 6, 0]
    assert rates["service"].tolist() == [3.0, 3.0]
    assert rates["slow"].tolist() == [0.5, 0.5]
