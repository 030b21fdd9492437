import ast
import dataclasses
import json
import re
from pathlib import Path

import pytest

from helpers import paths
from helpers.errors import OsemnError, UsageError
from helpers.obtain.options import Options
from helpers.series import notebook_cells, parameters, profiles, stages, study_address
from helpers.series.resolve import resolve

ALL = list(stages.NOTEBOOKS)


@pytest.mark.parametrize("stage", ALL)
def test_notebook_names_exactly_the_parameters_of_its_model(stage):
    assert list(notebook_cells.defaults(stage)) == list(parameters.MODELS[stage].model_fields)


@pytest.mark.parametrize("stage", ALL)
def test_every_parameter_is_explained_by_a_comment(stage):
    for line in parameters_source(stage).splitlines():
        assert "  # " in line, f"{stage}: {line} has no comment"


@pytest.mark.parametrize("stage", ALL)
def test_every_parameter_is_read_by_its_notebook(stage):
    content = json.loads(paths.notebook(stage).read_text())
    code = "\n".join(
        "".join(cell["source"])
        for cell in content["cells"]
        if cell["cell_type"] == "code" and not notebook_cells.is_parameters_cell(cell)
    )
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    if "Options.of(run.parameters" in code:  # takes every parameter that is one of its fields
        used |= {field.name for field in dataclasses.fields(Options)}
    # The run object itself uses these four.
    wanted = set(parameters.MODELS[stage].model_fields) - {"dataset", "profile", "seed", "candidate"}
    assert wanted <= used


@pytest.mark.parametrize("profile", ["smoke", "quick", "standard", "full"])
@pytest.mark.parametrize("stage", stages.BY_NAME)
def test_every_profile_gives_valid_parameters(stage, profile):
    values = resolve(stage, "fashion_mnist", profile).parameters
    assert values["profile"] == profile


def test_quick_profile_is_the_notebooks_own_defaults():
    assert profiles.load("quick") == {}
    for stage in stages.STAGES:
        defaults = notebook_cells.defaults(stage.notebook)
        if stage.candidate:
            assert defaults["candidate"] == ""
            defaults["candidate"] = stage.candidate
        assert resolve(stage.name, "fashion_mnist", "quick").parameters == defaults


def parameters_source(stage: str) -> str:
    content = json.loads(paths.notebook(stage).read_text())
    return next(
        "".join(cell["source"]) for cell in content["cells"] if notebook_cells.is_parameters_cell(cell)
    )


def acquire(**values):
    return resolve("01_acquire", "digits", "quick", {"01_acquire": values})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: stages.find("04_basline"), "did you mean '04_baseline'"),
        (lambda: profiles.load("quik"), "did you mean 'quick'"),
        (lambda: paths.check_dataset("fashion-mnist"), "did you mean 'fashion_mnist'"),
        (lambda: paths.check_dataset("no/such/folder"), "There is no folder 'no/such/folder'"),
        (lambda: profiles.parse_overrides(["cnn_epochs=3"]), "STAGE.parameter=value"),
        (lambda: profiles.parse_overrides(["04_baseline.cnn_epochs"]), "STAGE.parameter=value"),
        (lambda: profiles.parse_overrides(["04_basline.cnn_epochs=3"]), "did you mean '04_baseline'"),
        (lambda: profiles.parse_overrides(["04_baseline.dataset=mnist"]), "use --dataset"),
        (lambda: profiles.parse_overrides(["04_baseline.seed=[1"]), "cannot be read"),
        (lambda: acquire(label_by="folders"), "'label_by' = 'folders' is not valid"),
        (lambda: acquire(group_by="patient"), "'group_by' = 'patient' is not valid"),
    ],
)
def test_wrong_name_is_refused_with_the_nearest_right_one(call, said):
    with pytest.raises(UsageError, match=said):
        call()


def test_unknown_backbone_is_refused_before_a_kernel_starts():
    overrides = {"05_transfer_learning": {"compared_backbones": ["efficientnet_lite3"]}}
    with pytest.raises(UsageError, match="no backbone 'efficientnet_lite3'"):
        resolve("05_transfer_learning", "digits", "smoke", overrides)


@pytest.mark.parametrize(
    "secret",
    [
        "postgresql://user:secret@host/studies",
        "postgresql://user:sec/ret@host/studies",  # urllib.parse takes it for a path
        "postgresql://host/studies?user=user&password=secret",
        "mysql+pymysql://host/studies?passwd=secret",
    ],
)
def test_password_of_a_database_is_refused_because_others_could_read_it(secret):
    with pytest.raises(UsageError, match="PGPASSWORD") as caught:
        resolve("09_tuning", "digits", "smoke", {"09_tuning": {"storage": secret}})
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("postgresql://user@host:5432/studies", "postgresql:///studies"),
        (
            "postgresql+psycopg://host/studies?user=user&sslkey=/home/user/key",
            "postgresql+psycopg:///studies",
        ),
        ("sqlite:////home/user/studies.db", "sqlite:///studies.db"),
        ("postgresql:///studies", "postgresql:///studies"),
        ("", ""),
    ],
)
def test_address_of_a_database_is_written_down_without_user_and_place(given, written, monkeypatch):
    resolved = resolve("09_tuning", "digits", "smoke", {"09_tuning": {"storage": given}})
    assert resolved.parameters["storage"] == written
    for name, value in resolved.private.items():
        monkeypatch.setenv(name, value)
    assert study_address.given(written) == given
    assert study_address.given("postgresql:///others") == "postgresql:///others"


def test_labels_are_written_down_relative_to_the_project(project):
    file = project.root / "labels.csv"
    file.touch()
    for typed in (str(file), "labels.csv"):
        resolved = resolve("01_acquire", "digits", "tiny", {"01_acquire": {"labels": typed}})
        assert resolved.parameters["labels"] == "labels.csv"


@pytest.mark.parametrize("name", ["labels", "image_folder"])
@pytest.mark.parametrize("place", ["{home}/private/labels.csv", "~/labels.csv"])
def test_place_outside_the_project_is_refused_as_it_would_be_stored(project, monkeypatch, name, place):
    monkeypatch.setenv("HOME", str(project.root.parent))
    place = place.format(home=project.root.parent)
    Path(place).expanduser().parent.mkdir(exist_ok=True)
    Path(place).expanduser().touch()
    with pytest.raises(UsageError, match="would be stored with the run"):
        resolve("01_acquire", "digits", "tiny", {"01_acquire": {name: place}})


def test_corrections_that_are_not_there_are_refused_by_their_place(project):
    missing = project.root.parent / "missing.csv"
    with pytest.raises(UsageError, match=re.escape(f"There is no file {missing}.")):
        resolve("01_acquire", "digits", "tiny", {"01_acquire": {"labels": str(missing)}})


def test_missing_parameter_is_named():
    values = notebook_cells.defaults("04_baseline")
    del values["seed"]
    with pytest.raises(UsageError, match="parameter 'seed' is missing\\."):
        parameters.check("04_baseline", values)


def test_overrides_are_stronger_than_the_profile():
    values = resolve("04_baseline", "digits", "smoke", {"04_baseline": {"cnn_epochs": 9}}).parameters
    assert values["cnn_epochs"] == 9
    assert values["dense_epochs"] == profiles.load("smoke")["04_baseline"]["dense_epochs"]


def test_override_values_keep_their_types():
    overrides = profiles.parse_overrides(
        [
            "00_warm_up.noise_levels=[0.1, 0.2]",
            "01_acquire.color_mode=rgb",
            "00_warm_up.epochs=3",
            "04_baseline.learning_rate=3e-4",
        ]
    )
    assert overrides == {
        "04_baseline": {"learning_rate": 3e-4},
        "00_warm_up": {"noise_levels": [0.1, 0.2], "epochs": 3},
        "01_acquire": {"color_mode": "rgb"},
    }


@pytest.mark.parametrize("source", ["import os", "a, b = 1, 2", "a = os.getcwd()", "print(1)"])
def test_parameters_cell_may_hold_only_literals(source):
    with pytest.raises((OsemnError, ValueError)):
        notebook_cells.literals(source, "notebook")


def test_profile_with_an_unknown_stage_or_broken_yaml_is_refused(project):
    (project.root / "profiles" / "odd.yaml").write_text("04_basline:\n  seed: 1\n")
    with pytest.raises(UsageError, match="did you mean '04_baseline'"):
        profiles.load("odd")
    (project.root / "profiles" / "odd.yaml").write_text("04_baseline: [")
    with pytest.raises(UsageError, match="not readable YAML"):
        profiles.load("odd")
    (project.root / "profiles" / "odd.yaml").write_text("04_baseline: 3\n")
    with pytest.raises(UsageError, match="parameter: value"):
        profiles.load("odd")


def test_stage_without_a_notebook_is_an_error_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "notebook", lambda stage: tmp_path / f"{stage}.ipynb")
    with pytest.raises(OsemnError, match=r"(?s)There is no .*12_report\.ipynb.*copy notebooks/template"):
        notebook_cells.defaults("12_report")
