"""The scripts of benchmarks/ follow the helpers, and do not judge a change by too few seeds."""

import ast
import importlib
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from conftest import REPOSITORY
from helpers.obtain import data
from helpers.scrub import augment
from helpers.series.metrics import Metric

FOLDER = REPOSITORY / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
ROWS = data.Dataset(IMAGES, np.arange(40, dtype=np.int64) % 2, ("even", "odd"))


@pytest.fixture
def benchmark(monkeypatch):
    """Import a script of benchmarks/ with its folder on the path."""

    def imported(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.delitem(sys.modules, name, raising=False)  # a module of the tests may have its name
        return importlib.import_module(name)

    return imported


def helpers_of(tree: ast.Module) -> dict[str, ModuleType]:
    """Return the modules of `helpers` that a script imports, by their names in the script."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "helpers":
            for alias in node.names:
                try:
                    module = importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:
                    assert hasattr(importlib.import_module(node.module), alias.name), alias.name
                    continue
                modules[alias.asname or alias.name] = module
    return modules


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_uses_only_what_helpers_have(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    modules = helpers_of(tree)
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    assert not [f"{module}.{what}" for module, what in used if not hasattr(modules[module], what)]


def names_of(name: str) -> set[str]:
    """Return what a script defines or imports at its top, without running it."""
    names: set[str] = set()
    for node in ast.parse((FOLDER / f"{name}.py").read_text("utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
            }
    return names


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_uses_only_what_other_scripts_have(name):
    tree, used = ast.parse((FOLDER / f"{name}.py").read_text("utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in SCRIPTS:
            used |= {(node.module, alias.name) for alias in node.names}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    imported = {alias.name for node in imports for alias in node.names} & set(SCRIPTS)
    used |= {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
    }
    assert not [f"{script}.{what}" for script, what in used if what not in names_of(script)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_imports_helpers_before_tensorflow(name):
    """TensorFlow reads the oneDNN setting, which `helpers` sets, only once: when it is imported."""
    names = []
    for node in ast.parse((FOLDER / f"{name}.py").read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    packages = [name.partition(".")[0] for name in names]
    of_tensorflow = [place for place, name in enumerate(packages) if name in ("keras", "tensorflow")]
    of_helpers = [place for place, name in enumerate(packages) if name in ("helpers", "quick_run")]
    assert not of_tensorflow or of_helpers[0] < of_tensorflow[0]


def a_run(accuracies: dict[str, list[float]], first_seed: int = 0, **settings) -> dict:
    """Return a run of ablations: accuracies by change, one per seed."""
    return {
        "recipe": {"epochs": 4, "seed": first_seed},
        "cpu": "a processor",
        "cores": 2,
        **settings,
        "trials": [
            {
                "change": change,
                "title": f"the change {change}",
                "seed": first_seed + number,
                "epochs": 4,
                "accuracy": accuracy,
                "accuracy_mirrored": accuracy,
                "seconds": 10.0 if change == "base" else 20.0,
                "million_multiply_accumulates": 3.0,
            }
            for change, values in accuracies.items()
            for number, accuracy in enumerate(values)
        ],
    }


@pytest.fixture
def ablations(benchmark, tmp_path, monkeypatch):
    """Return the script with its results in a temporary folder, and a function that writes them."""
    script = benchmark("ablations")
    monkeypatch.setattr(script, "RESULTS", tmp_path / "ablations.json")

    def rows(*runs: dict) -> list[list[str]]:
        script.RESULTS.write_text(json.dumps({"runs": runs}), "utf-8")
        lines = [line for line in script.table().splitlines() if line.startswith("| the change")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    return rows


def test_two_seeds_are_too_few_to_judge_a_change(ablations):
    [row] = ablations(a_run({"base": [0.90, 0.91], "a": [0.92, 0.93]}))
    assert row == ["the change a", "0, 1", "4", "+2.00", "too few seeds", "+2.00", "2.00", "not judged"]


def test_seeds_of_several_sessions_count_together(ablations):
    first = a_run({"base": [0.90, 0.91], "a": [0.92, 0.931]})
    later = a_run({"base": [0.90], "a": [0.919]}, first_seed=2, note="tests ran beside it")
    later["recipe"]["seed"] = 0
    [row] = ablations(first, later)
    assert row[1] == "0, 1, 2"
    assert row[-1] == "better"


def test_seeds_under_other_conditions_are_not_counted_together(ablations):
    first = a_run({"base": [0.90, 0.91], "a": [0.92, 0.93]})
    [row] = ablations(first, a_run({"base": [0.90], "a": [0.50]}, cores=64))
    assert row[1] == "0, 1"
    assert row[3] == "+2.00"


def test_differences_that_are_not_significant_are_called_that(ablations):
    [row] = ablations(a_run({"base": [0.90, 0.91, 0.90], "a": [0.89, 0.93, 0.90]}))
    assert row[-1] == "not significant"
    [row] = ablations(a_run({"base": [0.90, 0.91, 0.90], "a": [0.89, 0.90, 0.891]}))
    assert row[-1] == "worse"


def test_times_are_compared_with_the_last_training_without_the_change(ablations, benchmark):
    script = benchmark("ablations")
    names = list("abcdefg")
    order = script.with_base(names)
    assert [name for name in order if name != "base"] == names
    assert max(len(group) for group in "".join(order).split("base")) == script.BASE_EVERY
    fast, slow = a_run({"base": [0.90], "a": [0.91]}), a_run({"base": [0.90], "b": [0.91]})
    for trial in slow["trials"]:
        trial["seconds"] *= 3
    fast["trials"] += slow["trials"]
    assert [row[6] for row in ablations(fast)] == ["2.00", "2.00"]


@pytest.mark.parametrize(("later", "same"), [("stem_relu", True), ("stem_norm", False)])
def test_pooling_moves_before_a_layer_of_the_stem_and_keeps_the_weights(benchmark, later, same):
    """A maximum of ReLUs is the ReLU of the maximum, but batch normalisation sees other values."""
    script = benchmark("ablations")
    plain = script.architectures.residual_cnn((8, 8, 1), 2, mean=[100.0], standard_deviation=[50.0], width=4)
    plain.get_layer("stem_norm").gamma.assign([1.0, -1.0, 2.0, -2.0])
    moved = script.pooling_before(later)(plain)
    assert moved.get_layer(later).input.shape[1:3] == (4, 4)
    agree = np.allclose(plain.predict(IMAGES, verbose=0), moved.predict(IMAGES, verbose=0), atol=1e-6)
    assert agree == same


def test_committed_table_is_made_from_the_committed_results(benchmark):
    script = benchmark("ablations")
    assert script.TABLE.read_text("utf-8") == script.table()


@pytest.fixture
def scored(benchmark, tmp_path, monkeypatch):
    """Return accuracy_for_compute.py on a small data set, and a function that saves a trained network for it."""
    keras = importlib.import_module("keras")
    script = benchmark("accuracy_for_compute")
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results.json")
    networks = tmp_path / "networks"
    networks.mkdir()
    monkeypatch.setattr(script, "folder_of", lambda *_: networks)
    monkeypatch.setattr(script.quick_run, "parts", lambda _: (ROWS, ROWS, augment.AugmentationPolicy()))
    monkeypatch.setattr(script.quick_run, "test_part", lambda _: ROWS)

    def trained(seed: int, onednn: bool = True) -> None:
        image = keras.Input((8, 8, 1))
        outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image))
        keras.Model(image, outputs).save(networks / f"{seed}.keras")
        trial = {"seed": seed, "seconds": 1.0, "training_operations": 1.0, "validation_accuracy": 0.5}
        trial["onednn"] = onednn
        (networks / f"{seed}.json").write_text(json.dumps(trial), "utf-8")

    return script, trained


def entry_of(script: ModuleType) -> dict:
    [entry] = json.loads(script.RESULTS.read_text("utf-8"))["entries"]
    return entry


@pytest.mark.parametrize("onednn", [True, False])
def test_table_marks_seconds_without_onednn(scored, onednn):
    script, trained = scored
    trained(0, onednn)
    script.score("fashion_mnist", "recipe", 10)
    assert ("| 1* |" in script.table()) == ("Without oneDNN" in script.table()) == (not onednn)


def test_seed_trained_later_is_scored_without_scoring_the_others_again(scored):
    script, trained = scored
    trained(0)
    script.score("fashion_mnist", "recipe", 10)
    [first] = entry_of(script)["trials"]
    trained(1)
    script.score("fashion_mnist", "recipe", 10)
    assert [trial["seed"] for trial in entry_of(script)["trials"]] == [0, 1]
    assert entry_of(script)["trials"][0] == first
    assert "test_accuracy_of_ensemble" not in entry_of(script)
    assert "| 2 | 1 |" in script.table()


def test_networks_scored_together_are_an_ensemble_too(scored):
    script, trained = scored
    trained(0)
    trained(1)
    script.score("fashion_mnist", "recipe", 10)
    assert 0.0 <= entry_of(script)["test_accuracy_of_ensemble"] <= 1.0


def test_views_that_a_budget_averages_are_scored_and_stand_among_its_settings(scored, monkeypatch):
    script, trained = scored
    trained(0)
    monkeypatch.setitem(script.BUDGETS, ("fashion_mnist", "recipe", 10), script.Budget(1, views={"shift": 1}))
    asked = []
    views = script.architectures.averaging_views
    monkeypatch.setattr(
        script.architectures, "averaging_views", lambda model, **of: (asked.append(of), views(model, **of))[1]
    )
    script.score("fashion_mnist", "recipe", 10)
    assert asked == [{"flip": False, "shift": 1}]
    assert entry_of(script)["settings"]["views"] == {"shift": 1}


def test_refit_trains_on_validation_images_too_and_claims_no_validation_accuracy(scored, monkeypatch):
    script, _ = scored
    seen = []

    def method(parts, budget, seed):
        seen.append(parts[0])
        keras = importlib.import_module("keras")
        image = keras.Input((8, 8, 1))
        outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image))
        return keras.Model(image, outputs), SimpleNamespace(seconds=1.0, history={"val_accuracy": [0.5]})

    monkeypatch.setitem(script.METHODS, "recipe_refit", method)
    monkeypatch.setitem(script.BUDGETS, ("fashion_mnist", "recipe_refit", 60), script.Budget(1, refit=True))
    script.train("fashion_mnist", "recipe_refit", 60, [0])
    [rows] = seen
    assert rows.images.tolist() == np.concatenate([ROWS.images, ROWS.images]).tolist()
    assert rows.labels.tolist() == np.concatenate([ROWS.labels, ROWS.labels]).tolist()
    script.score("fashion_mnist", "recipe_refit", 60)
    [trial] = entry_of(script)["trials"]
    assert trial["images"] == 2 * len(ROWS)
    assert "validation_accuracy" not in trial
    assert entry_of(script)["settings"]["refit"] is True
    assert "| – |" in script.table()


def test_test_set_is_not_opened_twice_for_a_network(scored):
    script, trained = scored
    trained(0)
    script.score("fashion_mnist", "recipe", 10)
    with pytest.raises(SystemExit, match="has a test accuracy already"):
        script.score("fashion_mnist", "recipe", 10)


def test_seeds_with_other_settings_are_not_mixed_with_those_scored_before(scored, monkeypatch):
    script, trained = scored
    trained(0)
    script.score("fashion_mnist", "recipe", 10)
    trained(1)
    monkeypatch.setitem(script.BUDGETS, ("fashion_mnist", "recipe", 10), script.Budget(99))
    with pytest.raises(SystemExit, match="other settings"):
        script.score("fashion_mnist", "recipe", 10)


def trial(labels: np.ndarray, first: int, **predicted: np.ndarray) -> dict:
    """Return a trial of photographs.py whose test images are numbered from `first`."""
    names = [f"{first + row:04}.png" for row in range(len(labels))]
    chosen = {name: values.tolist() for name, values in predicted.items()}
    seconds = {"seconds": 10.0 + first, "chosen": next(iter(predicted))}
    return {"labels": labels.tolist(), "images": names, "predicted": chosen, **seconds}


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_weighted_metric_equals_that_of_repeated_images(benchmark, name):
    measured = benchmark("photographs").measured
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 3, (2, 60))
    weights = generator.integers(0, 4, 60)
    expected = Metric(name)(np.repeat(labels, weights), np.repeat(predicted, weights), 3)
    assert measured(name, labels, predicted, 3, weights) == pytest.approx(expected)
    both = measured(name, labels, predicted, 3, np.array([weights, np.ones(60)]))
    assert both == pytest.approx([expected, Metric(name)(labels, predicted, 3)])


def test_models_are_compared_over_seeds_and_images(benchmark):
    script, labels = benchmark("photographs"), np.arange(200) % 2
    wrong = [np.where(np.arange(200) < count, 1 - labels, labels) for count in (20, 22, 60, 58)]
    ours = {seed: trial(labels, 100 * seed, fine_tuned=wrong[seed]) for seed in (0, 1)}
    peers = {seed: trial(labels, 100 * seed, peer=wrong[2 + seed]) for seed in (0, 1)}
    result = script.compared(script.pairs(ours, "chosen", peers, "peer"))
    accuracy = result["accuracy"]
    assert (accuracy["first"], accuracy["second"]) == ([0.9, 0.89], [0.7, 0.71])
    assert accuracy["difference"] == pytest.approx(0.19)
    assert accuracy["ci95_over_seeds"][0] < 0.19 < accuracy["ci95_over_seeds"][1]
    assert 0.1 < accuracy["ci95_over_images"][0] < 0.19 < accuracy["ci95_over_images"][1] < 0.3
    assert result["errors_ratio"] == pytest.approx(0.21 / 0.59)
    assert script.pairs(ours, "transfer", peers, "peer") == []


def test_summary_of_photographs_takes_the_trials_that_there_are(benchmark, tmp_path):
    script, labels = benchmark("photographs"), np.arange(40) % 2
    ours, peer = trial(labels, 0, fine_tuned=labels, transfer=1 - labels), trial(labels, 0, peer=1 - labels)
    for runner, content in (("ours", ours), ("peer", peer)):
        (tmp_path / f"food-{runner}-3.json").write_text(json.dumps(content), "utf-8")
    result = script.summary(tmp_path, "food", [3, 4])
    assert result["fine_tuned against peer"]["accuracy"]["difference"] == 1.0
    assert result["transfer against peer"]["accuracy"]["difference"] == 0.0
    assert result["seconds ours / peer"] == [1.0]
    assert "ours against before" not in result
    (tmp_path / "food-peer-3.json").write_text(json.dumps(trial(labels, 1, peer=labels)), "utf-8")
    with pytest.raises(SystemExit, match="the test images differ"):
        script.summary(tmp_path, "food", [3])


def test_better_model_of_photographs_is_chosen_on_validation_by_the_metric_of_the_series(benchmark, tmp_path):
    script, labels = benchmark("photographs"), np.repeat([0, 1], [90, 10])
    frequent, balanced = np.zeros(100, int), np.where(np.arange(100) < 60, 0, 1)
    for name, stage, predicted in (
        ("transfer", "05_transfer_learning", frequent),
        ("fine_tuned", "06_fine_tuning", balanced),
    ):
        (tmp_path / stage).mkdir()
        np.savez(
            tmp_path / stage / "validation_predictions.npz", labels=labels, **{f"predicted_{name}": predicted}
        )
    assert script.better_on_validation(tmp_path) == "transfer"
    (tmp_path / "03_preprocess").mkdir()
    facts = json.dumps(Metric("balanced_accuracy").facts())
    (tmp_path / "03_preprocess" / "metric.json").write_text(facts, "utf-8")
    assert script.better_on_validation(tmp_path) == "fine_tuned"


def test_trial_of_photographs_that_is_there_is_not_run_again(benchmark, tmp_path, monkeypatch):
    script = benchmark("photographs")
    monkeypatch.setattr(script, "series", lambda *_: {"seconds": 1.0})
    given = SimpleNamespace(work=tmp_path)
    script.run_trial("food", "place", "ours", 0, given, {})
    assert json.loads((tmp_path / "food-ours-0.json").read_text("utf-8"))["seconds"] == 1.0
    monkeypatch.setattr(script, "series", lambda *_: pytest.fail("it was run again"))
    script.run_trial("food", "place", "ours", 0, given, {})
