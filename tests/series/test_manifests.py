import ast
import json
import os
from pathlib import Path

import pytest

import helpers
from helpers import paths
from helpers.errors import MissingInputError, OsemnError, UsageError
from helpers.series import manifests, stages


@pytest.fixture
def folder(tmp_path):
    stage = tmp_path / "01_acquire"
    stage.mkdir()
    (stage / "a.bin").write_bytes(b"abcdef")
    (stage / "b.txt").write_text("text")
    files = [stage / "a.bin", stage / "b.txt"]
    content = {"schema": manifests.SCHEMA, "outputs": manifests.describe_files(stage, files)}
    manifests.write_json(stage / manifests.NAME, content)
    return stage


CANDIDATE_STAGES = [stage.name for stage in stages.STAGES if stage.candidate]


def test_whole_folder_verifies(folder):
    assert manifests.require(folder, "01_acquire")["outputs"].keys() == {"a.bin", "b.txt"}


def test_every_single_flipped_bit_is_noticed(folder):
    original = (folder / "a.bin").read_bytes()
    for position in range(len(original) * 8):
        changed = bytearray(original)
        changed[position // 8] ^= 1 << position % 8
        (folder / "a.bin").write_bytes(changed)
        os.utime(folder / "a.bin", (0, 0))
        with pytest.raises(MissingInputError, match=r"a\.bin was changed"):
            manifests.require(folder, "01_acquire")


def test_missing_and_cut_files_are_named(folder):
    (folder / "a.bin").write_bytes(b"abc")
    (folder / "b.txt").unlink()
    messages = " ".join(manifests.faults(folder, manifests.read(folder)))
    assert "a.bin has 3 bytes, expected 6" in messages
    assert "b.txt is missing" in messages


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}', "null"])
def test_manifest_that_cannot_be_read_counts_as_none(folder, content):
    (folder / manifests.NAME).write_text(content)
    assert manifests.read(folder) is None
    with pytest.raises(MissingInputError, match=r"run notebooks/01_acquire\.ipynb first"):
        manifests.require(folder, "01_acquire")


def test_failed_write_leaves_the_old_json_and_no_litter(tmp_path):
    target = tmp_path / "metrics.json"
    manifests.write_json(target, {"accuracy": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifests.write_json(target, {"accuracy": float("nan")})
    assert json.loads(target.read_text()) == {"accuracy": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


def test_publish_replaces_the_whole_folder(folder):
    partial = folder.with_name("01_acquire.partial")
    partial.mkdir()
    (partial / "c.txt").write_text("new")
    manifests.publish(partial, folder)
    assert [file.name for file in folder.iterdir()] == ["c.txt"]
    assert not partial.exists()
    assert not folder.with_name("01_acquire.old").exists()


def test_publish_killed_between_its_renames_is_undone(folder):
    folder.rename(folder.with_name("01_acquire.old"))
    manifests.recover(folder)
    assert manifests.require(folder, "01_acquire")
    assert not folder.with_name("01_acquire.old").exists()


def test_source_hash_follows_imports_between_helpers():
    _, modules = manifests.source_files("04_baseline")
    names = {module.name for module in modules}
    assert {"training.py", "augment.py", "runs.py", "data.py"} <= names
    assert not [module for module in modules if module.parent.name in ("report", "serving", "export")]
    _, modules = manifests.source_files("02_explore")
    assert "training.py" not in {module.name for module in modules}


def test_imports_are_found_as_if_all_of_a_file_were_parsed():
    package = Path(helpers.__file__).parent
    for file in package.rglob("*.py"):
        source, names = file.read_text(encoding="utf-8"), set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        places = [
            package.joinpath(*name.split(".")[1:]) for name in names if f"{name}.".startswith("helpers.")
        ]
        wanted = {path for place in places for path in (place.with_suffix(".py"), place / "__init__.py")}
        assert manifests._imports(source) == {path for path in wanted if path.is_file()}, file


@pytest.mark.parametrize(
    "source",
    [
        "from helpers import (  # two (of many)\n    paths,\n    scoring,\n)",
        "if True:\n    from helpers import paths, scoring",
        "from helpers import \\\n    paths, scoring",
        "import helpers.paths, helpers.scoring as points",
        '"""from helpers only (no code)"""\nimport numpy, helpers.paths\nimport helpers.scoring',
    ],
)
def test_imports_are_found_in_any_form(source):
    assert {file.name for file in manifests._imports(source)} - {"__init__.py"} == {"paths.py", "scoring.py"}


def test_what_a_stage_starts_as_a_process_counts_as_its_source():
    _, files = manifests.source_files("11_serving")
    assert {"middleware.py", "naive_app.py", "page.html"} <= {file.name for file in files}
    _, files = manifests.source_files("10_export")
    assert "score.js" in {file.name for file in files}


@pytest.mark.parametrize("name", ["middleware.py", "page.html"])
def test_one_byte_of_a_helper_changes_the_hash_of_its_stages_only(name, monkeypatch):
    stages_before = {stage: manifests.source_sha256(stage) for stage in ("04_baseline", "11_serving")}
    genuine = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: genuine(path) + b" " * (path.name == name))
    changed = {stage for stage, before in stages_before.items() if manifests.source_sha256(stage) != before}
    assert changed == {"11_serving"}


def test_source_hash_sees_code_but_not_prose_outputs_or_parameters(project):
    path = paths.notebook("01_acquire")
    before = manifests.source_sha256("01_acquire")
    notebook = json.loads(path.read_text())
    notebook["cells"].insert(0, {"cell_type": "markdown", "id": "x", "metadata": {}, "source": ["# Prose"]})
    notebook["cells"][1]["source"] = "dataset = 'other'"
    notebook["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["x"]}]
    path.write_text(json.dumps(notebook))
    assert manifests.source_sha256("01_acquire") == before
    notebook["cells"][2]["source"] = "x = 1"
    path.write_text(json.dumps(notebook))
    assert manifests.source_sha256("01_acquire") != before


def test_stage_table_reads_only_earlier_stages():
    seen = set()
    for stage in stages.STAGES:
        assert set(stage.looks_at) <= seen
        seen.add(stage.name)


def test_until_takes_what_is_needed_and_downstream_what_depends():
    assert [stage.name for stage in stages.until("03_preprocess")] == ["01_acquire", "03_preprocess"]
    assert [stage.name for stage in stages.downstream("03_preprocess")] == [
        "03_preprocess",
        "04_baseline",
        "05_transfer_learning",
        "06_fine_tuning",
        "09_tuning",
        *CANDIDATE_STAGES,
        "10_export",
        "11_serving",
        "12_report",
    ]
    assert [stage.name for stage in stages.until("06_fine_tuning")] == [
        "01_acquire",
        "03_preprocess",
        "05_transfer_learning",
        "06_fine_tuning",
    ]
    assert [stage.name for stage in stages.downstream("05_transfer_learning")] == [
        "05_transfer_learning",
        "06_fine_tuning",
        *(name for name in CANDIDATE_STAGES if not name.endswith(("/baseline_cnn", "08_grad_cam/tuned"))),
        "10_export",
        "11_serving",
        "12_report",
    ]
    changed_by_the_cnn = {stage.name for stage in stages.downstream("04_baseline")}
    others = {"05_transfer_learning", "06_fine_tuning", "08_grad_cam/transfer", "08_grad_cam/fine_tuned"}
    assert not changed_by_the_cnn & others


def test_notebook_that_is_run_for_each_candidate_stands_for_all_its_stages():
    of_notebook = [stage.name for stage in stages.of_notebook("08_grad_cam")]
    assert of_notebook == [f"08_grad_cam/{candidate}" for candidate in stages.CANDIDATES]
    assert {"09_tuning", *of_notebook} <= {stage.name for stage in stages.until("08_grad_cam")}
    alone = [stage.name for stage in stages.until("07_evaluation/transfer")]
    assert alone == ["01_acquire", "03_preprocess", "05_transfer_learning", "07_evaluation/transfer"]
    with pytest.raises(UsageError, match=r"07_evaluation runs for each candidate(?s:.)*07_evaluation/tuned"):
        stages.find("07_evaluation")
    with pytest.raises(UsageError, match=r"no stage '07_evaluation/tuneed'(?s:.)*07_evaluation/tuned"):
        stages.find("07_evaluation/tuneed")


def test_input_is_split_at_its_stage_and_not_at_its_first_slash():
    assert stages.split_input("07_evaluation/tuned/figures/slices.png") == (
        "07_evaluation/tuned",
        "figures/slices.png",
    )
    assert stages.split_input("04_baseline/models/dense.keras") == ("04_baseline", "models/dense.keras")
    assert stages.split_input("source:digits") == ("", "source:digits")


def test_root_is_found_from_any_folder_inside(project, monkeypatch):
    monkeypatch.delenv("OSEMN_HOME")
    deep = project.root / "notebooks" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert paths.project_root() == project.root.resolve()


def test_home_that_is_no_project_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_HOME", str(tmp_path))
    with pytest.raises(OsemnError, match="OSEMN_HOME"):
        paths.project_root()


@pytest.mark.parametrize(
    ("folder", "slug"), [("photos/My Cats & Dogs", "my_cats_dogs"), ("/data/Birds2024", "birds2024")]
)
def test_folder_of_images_is_filed_under_its_name(folder, slug):
    assert paths.dataset_slug(folder) == slug


@pytest.mark.parametrize("folder", ["pictures/mnist", "pictures/###"])
def test_folder_that_cannot_name_a_run_is_refused(folder):
    with pytest.raises(UsageError, match="rename the folder"):
        paths.dataset_slug(folder)
