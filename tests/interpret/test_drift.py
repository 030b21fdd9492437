"""Drift is detected where there is some, and false alarms stay at the stated rate."""

import numpy as np
import pytest
from scipy import special, stats
from threadpoolctl import threadpool_info, threadpool_limits

from helpers.errors import OsemnError
from helpers.interpret import drift


def predictions(
    n: int, seed: int, sharpness: float = 3.0, prior: np.ndarray | None = None, brightness: float = 0.0
):
    """Return made-up predictions of five classes, with matching embeddings and brightness."""
    generator = np.random.default_rng(seed)
    classes = generator.choice(5, n, p=prior)
    embeddings = np.eye(5)[classes] * sharpness + generator.normal(0, 1, (n, 5))
    exponents = np.exp(embeddings)
    light = generator.normal(100 + 10 * classes + brightness, 15, n)
    return drift.Sample(
        (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32),
        embeddings.astype(np.float32),
        light.astype(np.float32),
        generator.normal(50, 10, n).astype(np.float32),
    )


@pytest.fixture(scope="module")
def reference() -> drift.DriftReference:
    return drift.DriftReference.made_from(predictions(4000, seed=0), seed=0, windows=(50, 200))


def test_false_alarms_stay_at_the_stated_rate_for_a_day(reference):
    rate = 1 - (1 - drift.FALSE_ALARMS_PER_DAY) ** (1 / drift.WINDOWS_PER_DAY)
    windows = 500
    alarms = sum(
        reference.examine(predictions(200, seed=1000 + turn), seed=turn).drifted for turn in range(windows)
    )
    assert alarms <= stats.binom.ppf(0.999, windows, rate), f"{alarms} alarms, {windows * rate:.1f} expected"


@pytest.mark.parametrize(
    ("options", "test"),
    [
        ({"sharpness": 1.5}, "softmax outputs"),
        ({"sharpness": 1.5}, "confidence"),
        ({"sharpness": 1.5}, "embeddings"),
        ({"prior": np.array([0.6, 0.1, 0.1, 0.1, 0.1])}, "predicted classes"),
        ({"brightness": 30.0}, "brightness"),
    ],
)
def test_each_kind_of_drift_is_found_by_its_test(reference, options, test):
    finding = reference.examine(predictions(200, seed=7, **options))
    assert finding.drifted
    assert finding.p_values[test] < 1e-4
    assert test in finding.sentence


def test_absence_of_drift_is_stated(reference):
    finding = reference.examine(predictions(200, seed=8))
    assert not finding.drifted
    assert finding.sentence == "No significant drift in 200 images."
    assert set(finding.p_values) == {
        "softmax outputs",
        "predicted classes",
        "confidence",
        "brightness",
        "contrast",
        "embeddings",
    }


def test_tests_agree_with_scipy(reference):
    window = predictions(150, seed=9, sharpness=2.5)
    result = reference.p_values(window)
    expected = stats.ks_2samp(reference.known.contrast, window.contrast, method="asymp")
    sizes = len(reference.known), len(window)
    scale = np.sqrt(np.prod(sizes) / np.sum(sizes))
    assert result["contrast"] == pytest.approx(special.kolmogorov(expected.statistic * scale), rel=1e-6)
    counts = [
        np.bincount(part.probabilities.argmax(axis=1), minlength=5) for part in (reference.known, window)
    ]
    assert result["predicted classes"] == pytest.approx(
        stats.chi2_contingency(np.array(counts)).pvalue, rel=1e-6
    )


def test_discrepancy_of_the_same_distribution_has_even_p_values(reference):
    values = [
        reference.p_values(predictions(100, seed=2000 + turn), seed=turn)["embeddings"] for turn in range(200)
    ]
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_window_is_examined_on_one_thread_which_the_caller_s_setting_outlives(reference, monkeypatch):
    def blas_threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    seen = []
    original = drift._squared_distances
    monkeypatch.setattr(
        drift, "_squared_distances", lambda *pair: seen.append(blas_threads()) or original(*pair)
    )
    with threadpool_limits(2, user_api="blas"):
        reference.examine(predictions(200, seed=5))
        assert blas_threads() == {2}
    assert seen == [{1}, {1}]


def test_reference_is_saved_and_loaded_completely(reference, tmp_path):
    reference.save(tmp_path / "reference.npz")
    loaded = drift.DriftReference.load(tmp_path / "reference.npz")
    window = predictions(60, seed=3)
    assert loaded.examine(window) == reference.examine(window)
    assert loaded.thresholds == reference.thresholds
    (tmp_path / "reference.npz").write_bytes(b"else")
    with pytest.raises(OsemnError, match="not a drift reference"):
        drift.DriftReference.load(tmp_path / "reference.npz")


def test_too_few_images_are_errors(reference):
    with pytest.raises(OsemnError, match="49 images are too few"):
        reference.examine(predictions(49, seed=0))
    with pytest.raises(OsemnError, match="100 predictions are too few"):
        drift.DriftReference.made_from(predictions(100, seed=0), seed=0)


def test_one_class_alone_and_constant_embeddings_are_no_error():
    known = predictions(400, seed=0)
    known.embeddings[:] = 0
    known.probabilities[:] = np.eye(5, dtype=np.float32)[0]
    result = drift.DriftReference(known).p_values(known.rows(np.arange(60)))
    assert result["predicted classes"] == 1.0
    assert result["embeddings"] == 1.0
