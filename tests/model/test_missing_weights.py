import missing_weights
import pytest

from helpers.errors import AcquisitionError
from helpers.export import browser_runtime
from helpers.model.backbones import weights


def refuse(why):
    def refusing():
        raise AcquisitionError(why, "connect")

    return refusing


def test_without_a_registry_the_notebooks_that_need_weights_are_left_out_and_named(monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetch", lambda name: refuse("pip failed: connection broken")())
    missing_weights.main()
    out, err = capsys.readouterr()
    assert out.split() == [
        "--ignore=notebooks/05_transfer_learning.ipynb",
        "--ignore=notebooks/06_fine_tuning.ipynb",
        "--ignore=notebooks/07_evaluation.ipynb",
        "--ignore=notebooks/08_grad_cam.ipynb",
        "--ignore=notebooks/10_export.ipynb",
        "--ignore=notebooks/11_serving.ipynb",
        "--ignore=notebooks/12_report.ipynb",
    ]
    assert err.startswith("skipped: no registry: 05_transfer_learning")


def test_weights_that_are_wrong_are_a_failure_and_not_a_reason_to_skip(monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetch", lambda name: refuse("a.pth has the wrong content")())
    monkeypatch.setattr(browser_runtime, "folder", lambda: "here")
    missing_weights.main()
    assert capsys.readouterr() == ("", "")


def test_nothing_is_left_out_where_the_weights_are_here(monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetch", lambda name: {})
    monkeypatch.setattr(browser_runtime, "folder", lambda: "here")
    missing_weights.main()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("why", "left_out"), [("npm did not answer", 3), ("npm: tf.min.js has the wrong content", 0)]
)
def test_without_npm_only_what_needs_the_browser_is_left_out(why, left_out, monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetch", lambda name: {})
    monkeypatch.setattr(browser_runtime, "folder", refuse(why))
    missing_weights.main()
    assert len(capsys.readouterr().out.split()) == left_out
