"""When a promoted version that failed its checks is tried again."""

import logging

import pytest

import service_support
from helpers.export.registry import Registry
from helpers.serving import model


@pytest.fixture
def holder(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first")
    return model.Holder("digits")


@pytest.fixture
def damaged(holder, tmp_path):
    """The model of a second version, which is current but damaged."""
    name = service_support.publish(tmp_path / "second", seed=1)
    file = holder.registry.folder / name / "model.onnx"
    file.write_bytes(file.read_bytes() + b"!")
    return file


def repair(file):
    file.write_bytes(file.read_bytes()[:-1])


def test_version_that_failed_is_tried_again_when_it_is_promoted_again(holder, damaged):
    assert not holder.update()
    repair(damaged)
    assert not holder.update(), "not at each check"
    name = damaged.parent.name
    Registry("digits").promote(name)
    assert holder.update()
    assert holder.served.version.name == name


def test_version_that_failed_is_tried_again_after_a_while(holder, damaged, monkeypatch):
    assert not holder.update()
    repair(damaged)
    monkeypatch.setattr(model, "RETRY_SECONDS", 0.0)
    assert holder.update()
    assert holder.served.version.name == damaged.parent.name


def test_same_failure_is_counted_and_logged_once_and_another_one_again(holder, damaged, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("osemn.serving"), "propagate", True)
    monkeypatch.setattr(model, "RETRY_SECONDS", 0.0)
    for _ in range(3):
        assert not holder.update()
    assert holder.refused == 1
    assert [record.message for record in caplog.records] == ["version refused"]
    damaged.unlink()
    for _ in range(3):
        assert not holder.update()
    assert holder.refused == 2
    assert holder.served is not None


def test_unexpected_failure_does_not_recur_at_each_check(holder, damaged, monkeypatch):
    calls = []

    def fail(version, processes):
        calls.append(version)
        raise ValueError("unforeseen")

    monkeypatch.setattr(model.Served, "load", fail)
    with pytest.raises(ValueError, match="unforeseen"):
        holder.update()
    assert not holder.update()
    assert len(calls) == 1
