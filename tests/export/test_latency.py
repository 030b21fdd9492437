"""A model's latency is that of calls in a row, whichever models it is compared with."""

import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import onnxruntime
import pytest

from helpers.export import latency, score

FIRST_CALL, NEXT_CALL = 10.0, 1.0  # in ms


class Machine:
    """A machine whose caches hold one model at a time; its clock advances by the cost of each call."""

    def __init__(self) -> None:
        self.now, self.cached, self.calls = 0.0, None, []

    def session(self, path: str, *_: object, **__: object) -> "Session":
        return Session(self, Path(path).stem)


class Session:
    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name

    def run(self, names: list[str], given: dict[str, np.ndarray]) -> None:
        assert given["image"].shape == (1, 4, 4, 1)
        assert given["image"].dtype == np.float32
        machine = self.machine
        machine.now += (NEXT_CALL if machine.cached == self.name else FIRST_CALL) / 1e3
        machine.cached = self.name
        machine.calls.append(self.name)


@pytest.mark.parametrize("calls", [10, 50])
def test_latency_is_that_of_calls_in_a_row_beside_other_models(monkeypatch, calls):
    machine = Machine()
    monkeypatch.setattr(onnxruntime, "InferenceSession", machine.session)
    monkeypatch.setattr(latency, "perf_counter", lambda: machine.now)
    monkeypatch.setattr(latency.formats, "write_onnx", lambda model, path: None)
    image = np.zeros((2, 2, 1), np.uint8)
    model = SimpleNamespace(inputs=[np.zeros((0, 4, 4, 1))])
    medians = latency.of_one_image({"small": model, "large": model}, image, calls)
    assert medians == {"small": pytest.approx(NEXT_CALL), "large": pytest.approx(NEXT_CALL)}
    turns = [
        name for name, before in zip(machine.calls, [None, *machine.calls], strict=False) if name != before
    ]
    assert turns == ["small", "large"] * -(-calls // latency.BLOCK), "they do not take turns"
    assert len(machine.calls) == 2 * calls + len(turns) * latency.WARM_UP


def test_a_larger_model_takes_longer():
    def network(width: int) -> keras.Model:
        image = keras.Input((28, 28, 1), name="image")
        x = keras.layers.Conv2D(width, 3, activation="relu")(image)
        x = keras.layers.Conv2D(width, 3, activation="relu")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))

    models = {"large": network(64), "small": network(2)}  # some 500 times the operations
    medians = latency.of_one_image(models, np.zeros((28, 28, 1), np.uint8), 20)
    assert medians.keys() == models.keys()
    assert 0 < medians["small"] < medians["large"]


def test_slow_calls_are_timed_a_few_times_only(monkeypatch):
    monkeypatch.setattr(score, "LATENCY_SECONDS", 0.02)
    calls = []

    def slow(batch):
        calls.append(len(batch))
        time.sleep(0.01)

    medians = score.latency(slow, np.zeros((3, 2, 2, 1), np.uint8))
    assert calls == [1] * score.FEWEST_CALLS + [64] * score.FEWEST_CALLS
    assert all(10 <= milliseconds < 100 for milliseconds in medians.values())
