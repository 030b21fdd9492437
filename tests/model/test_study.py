import math
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import optuna
import pandas as pd
import pytest
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from helpers import figures
from helpers.errors import OsemnError, UsageError
from helpers.model.tuning import conclusions, plots, sampler, storage
from helpers.model.tuning import study as tuning
from helpers.model.tuning.sampler import Search
from helpers.series import study_address

pytestmark = pytest.mark.filterwarnings("error")

VALUE = "accuracy on validation"
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "label_smoothing": FloatDistribution(0.0, 0.2),
    "width": CategoricalDistribution([16, 24, 32, 48]),
    "depth": IntDistribution(1, 3),
    "dense_units": IntDistribution(32, 256, log=True),
    "augmentation": FloatDistribution(0.0, 2.0, step=0.25),
}
DEFAULTS = {
    "learning_rate": 1e-2,
    "weight_decay": 1e-3,
    "dropout": 0.2,
    "label_smoothing": 0.1,
    "width": 32,
    "depth": 2,
    "dense_units": 64,
    "augmentation": 1.0,
}
EPOCHS = 9
FAST = {"poll": 0.02, "heartbeat": 1, "grace": 5}


def search(trials: int = 14, **changes) -> Search:
    settings = {
        "first": (DEFAULTS,),
        "rungs": sampler.halving_rungs(EPOCHS),
        "fingerprint": {"data": "abc"},
    }
    return Search(**{"space": SPACE, "trials": trials, **settings, **changes})


@dataclass
class Toy:
    """A training in miniature. It may hang once: the worker that moves `trap` away writes its process number there."""

    pause: float = 0.0
    trap: Path | None = None

    def __call__(self, trial: optuna.Trial) -> float:
        params = trial.params
        if self.pause:
            trial.set_user_attr("pid", os.getpid())
        final = (
            0.9
            - 0.02 * (math.log10(params["learning_rate"]) + 2.5) ** 2
            - 0.1 * (params["dropout"] - 0.1) ** 2
        )
        final -= 0.01 * abs(params["depth"] - 2) + 0.001 * params["width"] / 48
        for epoch in range(1, EPOCHS + 1):
            time.sleep(self.pause / EPOCHS)
            trial.report(final - 0.3 * math.exp(-epoch), epoch)
            if epoch == 1:
                self._hang(trial)
            if trial.should_prune():
                raise optuna.TrialPruned
        return final

    def _hang(self, trial: optuna.Trial) -> None:
        if self.trap is None or len(trial.study.get_trials(deepcopy=False)) < 6:
            return
        try:
            self.trap.rename(self.trap.with_suffix(".taken"))
        except FileNotFoundError:
            return
        self.trap.with_suffix(".pid").write_text(str(os.getpid()))
        time.sleep(600)


def facts(study: optuna.Study) -> list[tuple]:
    """Return what must not depend on which workers ran a study."""
    return [
        (trial.number, trial.state.name, trial.value, trial.params, trial.intermediate_values)
        for trial in study.trials
    ]


def stored_trials(
    folder: Path, wanted: Search | None = None, address: str = ""
) -> list[optuna.trial.FrozenTrial]:
    """Return a study's trials as the storage has them, the lost ones included."""
    name = tuning.full_name("toy", wanted or search())
    store = storage.open_storage(address, folder, name)
    trials = optuna.load_study(study_name=name, storage=store).trials
    storage.close(store)
    return trials


def work(objective: Toy, wanted: Search, folder: Path, address: str, results) -> None:
    results.put(facts(tuning.run(objective, wanted, "toy", folder=folder, address=address, **FAST)))


def start_workers(count: int, objective: Toy, wanted: Search, folder: Path, address: str = ""):
    """Start each worker as a process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (objective, wanted, folder, address, results)
    workers = [context.Process(target=work, args=arguments, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    return workers, results


def kill_the_hanging_one(workers, trap: Path) -> None:
    pid_file = trap.with_suffix(".pid")
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < deadline, "no worker came to its sixth trial"
        time.sleep(0.02)
    victim = next(worker for worker in workers if worker.pid == int(pid_file.read_text()))
    victim.kill()
    victim.join()
    assert victim.exitcode == -9
    workers.remove(victim)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> optuna.Study:
    """Return the study as one worker runs it without interruption."""
    return tuning.run(Toy(), search(), "toy", folder=tmp_path_factory.mktemp("alone"), **FAST)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_tuning_does_not_load_tensorflow():
    code = "import sys, helpers.model.tuning.plots, helpers.model.tuning.conclusions; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_trial_has_the_defaults_so_that_the_best_is_never_worse(alone):
    assert alone.trials[0].params == DEFAULTS
    assert alone.trials[0].state.name == "COMPLETE"
    assert tuning.best_trial(alone).value >= alone.trials[0].value


def test_the_finished_study_has_each_trial_once_and_within_the_space(alone):
    assert [trial.number for trial in alone.trials] == list(range(14))
    for trial in alone.trials:
        trial._validate()
        assert trial.distributions == SPACE
        assert trial.user_attrs == {}
    assert len({str(trial.params) for trial in alone.trials}) == 14


def test_another_seed_is_another_study(alone, tmp_path):
    other = tuning.run(Toy(), search(seed=1), "toy", folder=tmp_path, **FAST)
    assert facts(other)[0] == facts(alone)[0]
    assert facts(other)[1:] != facts(alone)[1:]


def test_three_workers_finish_the_same_study_as_one(alone, tmp_path):
    workers, results = start_workers(3, Toy(pause=0.2), search(), tmp_path)
    finished = [results.get(timeout=60) for _ in workers]
    assert finished == 3 * [facts(alone)]
    for worker in workers:
        worker.join(10)
    pids = {trial.user_attrs["pid"] for trial in stored_trials(tmp_path) if "pid" in trial.user_attrs}
    assert len(pids) > 1  # they did share the work


def test_a_worker_killed_in_mid_trial_loses_that_trial_only_and_another_repeats_it(alone, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    workers, results = start_workers(2, Toy(pause=0.1, trap=trap), search(), tmp_path)
    kill_the_hanging_one(workers, trap)
    assert results.get(timeout=60) == facts(alone)
    stored = stored_trials(tmp_path)
    lost = [trial for trial in stored if trial.state.name == "FAIL" and trial.intermediate_values]
    assert len(lost) == 1
    again = [
        t
        for t in stored
        if t.user_attrs["_number"] == lost[0].user_attrs["_number"] and t.state.name != "FAIL"
    ]
    assert [trial.params for trial in again] == [lost[0].params]


def test_the_only_worker_killed_is_followed_by_one_that_goes_on_where_it_was(alone, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    workers, _ = start_workers(1, Toy(trap=trap), search(), tmp_path)
    kill_the_hanging_one(workers, trap)
    ran = []

    def objective(trial):
        ran.append(trial.number)
        return Toy()(trial)

    assert facts(tuning.run(objective, search(), "toy", folder=tmp_path, **FAST)) == facts(alone)
    assert 0 < len(ran) < 14


def claim(folder: Path) -> optuna.storages.BaseStorage:
    """Queue a trial of an otherwise empty study, claim it, and return the storage."""
    store = storage.open_storage("", folder, "claimed")
    study = optuna.create_study(study_name="claimed", storage=store, load_if_exists=True)
    study.enqueue_trial({})
    [trial] = study.trials
    assert store.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.RUNNING)
    return store


def test_a_worker_is_dead_as_soon_as_its_process_ended_even_if_nobody_waits_for_it(tmp_path):
    code = f"import test_study, pathlib; store = test_study.claim(pathlib.Path({str(tmp_path)!r})); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, **pipes)
    try:
        process.stdout.readline()
        store = storage.open_storage("", tmp_path, "claimed")
        study_id = store.get_study_id_from_name("claimed")
        [trial] = store.get_all_trials(study_id)
        assert store._get_stale_trial_ids(study_id) == []
        assert not store.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.RUNNING)
        process.kill()
        deadline = time.monotonic() + 10
        while not store._get_stale_trial_ids(study_id):
            assert time.monotonic() < deadline
        assert process.returncode is None  # a zombie
        storage.close(store)
    finally:
        process.communicate()


def test_a_worker_counted_as_dead_by_mistake_changes_nothing(alone, tmp_path):
    mistaken = []

    def objective(trial):
        value = Toy()(trial)
        if not mistaken:
            mistaken.append(trial.number)
            trial.study._storage.set_trial_state_values(trial._trial_id, state=optuna.trial.TrialState.FAIL)
        return value

    assert facts(tuning.run(objective, search(), "toy", folder=tmp_path, **FAST)) == facts(alone)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_comes_up_and_the_trial_is_repeated_by_the_next_call(alone, tmp_path, error):
    calls = []

    def objective(trial):
        calls.append(trial.number)
        if len(calls) == 6:
            raise error
        return Toy()(trial)

    with pytest.raises(error):
        tuning.run(objective, search(), "toy", folder=tmp_path, **FAST)
    states = [trial.state.name for trial in stored_trials(tmp_path)]
    assert states.count("FAIL") == 1
    assert "RUNNING" not in states
    assert facts(tuning.run(objective, search(), "toy", folder=tmp_path, **FAST)) == facts(alone)
    assert len(calls) == 15


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_fails_its_trial_once_and_the_study_goes_on(tmp_path, value):
    calls = []

    def objective(trial):
        calls.append(trial.number)
        return value if trial.params["dropout"] > 0.25 else Toy()(trial)

    study = tuning.run(objective, search(), "toy", folder=tmp_path, **FAST)
    table = tuning.summary(study)
    failed = table[table["state"] == "failed"]
    assert len(failed) > 0
    assert failed["value"].isna().all()
    assert (failed["dropout"] > 0.25).all()
    assert len(calls) == 14
    assert tuning.best_trial(study).params["dropout"] <= 0.25


def test_a_study_without_a_complete_trial_says_so(tmp_path):
    study = tuning.run(lambda trial: math.nan, search(5), "toy", folder=tmp_path, **FAST)
    with pytest.raises(OsemnError, match="None of the study's 5 trials is complete"):
        tuning.best_trial(study)


def test_progress_says_which_trials_were_there_before(tmp_path):
    told: list[tuple[int, int, str]] = []
    for trials in (6, 6, 14):
        settings = search(trials)
        tuning.run(Toy(), settings, "toy", folder=tmp_path, progress=lambda *args: told.append(args), **FAST)
    ends = [entry for entry in told if entry[0] == entry[1]]
    assert ends == [(6, 6, ""), (6, 6, "6 of them from before"), (14, 14, "6 of them from before")]


def test_more_trials_go_on_with_the_same_study(alone, tmp_path):
    short = tuning.run(Toy(), search(6), "toy", folder=tmp_path, **FAST)
    assert facts(short) == facts(alone)[:6]
    assert facts(tuning.run(Toy(), search(14), "toy", folder=tmp_path, **FAST)) == facts(alone)
    assert facts(tuning.run(Toy(), search(6), "toy", folder=tmp_path, **FAST)) == facts(short)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"generation": 5},
        {"space": SPACE | {"dropout": FloatDistribution(0.0, 0.4)}},
        {"fingerprint": {"data": "xyz"}},
        {"fingerprint": {}},
        {"rungs": ()},
    ],
)
def test_studies_of_other_settings_are_never_mixed(tmp_path, changes):
    first = tuning.run(Toy(), search(2), "toy", folder=tmp_path, **FAST)
    tuning.run(Toy(), search(2, **changes), "toy", folder=tmp_path, **FAST)
    assert len(list(tmp_path.glob("*.journal"))) == 2
    assert facts(tuning.run(Toy(), search(2), "toy", folder=tmp_path, **FAST)) == facts(first)


def test_numpy_numbers_and_tuples_in_a_fingerprint_are_the_same_after_storage(tmp_path):
    import numpy as np

    wanted = search(2, fingerprint={"shape": (28, 28, 1), "images": np.int64(100)})
    for _ in range(2):
        tuning.run(Toy(), wanted, "toy", folder=tmp_path, **FAST)


def test_halving_rungs_grow_by_the_factor_and_end_before_the_last_epoch():
    assert sampler.halving_rungs(9) == (1, 3)
    assert sampler.halving_rungs(10) == (1, 3, 9)
    assert sampler.halving_rungs(12, first=2, reduction=2) == (2, 4, 8)
    assert sampler.halving_rungs(1) == ()


def finished_trial(values: dict[int, float]) -> optuna.trial.FrozenTrial:
    return optuna.create_trial(value=0.5, intermediate_values=values)


@pytest.mark.parametrize(("own", "is_pruned"), [(0.71, False), (0.69, True), (math.nan, True), (0.7, False)])
def test_a_trial_goes_on_past_a_rung_among_the_best_third(own, is_pruned):
    earlier = [
        finished_trial({1: value}) for value in (0.1, 0.2, 0.3, 0.7, 0.8)
    ]  # six with its own: two go on
    pruner = sampler.GenerationalHalving(earlier, (1, 3), 3)
    assert pruner.prune(None, finished_trial({1: own})) is is_pruned


def test_trials_are_compared_at_rungs_only_and_with_those_that_came_so_far():
    earlier = [finished_trial({1: 0.9}), finished_trial({1: 0.9, 2: 0.9, 3: 0.6})]
    pruner = sampler.GenerationalHalving(earlier, (1, 3), 3)
    assert not pruner.prune(None, finished_trial({1: 0.9, 2: 0.0}))
    assert not pruner.prune(None, finished_trial({1: 0.9, 2: 0.9, 3: 0.7}))
    assert pruner.prune(None, finished_trial({1: 0.9, 2: 0.9, 3: 0.5}))
    assert not sampler.GenerationalHalving([], (1,), 3).prune(None, finished_trial({1: 0.0}))


def test_pruning_spares_epochs_and_only_after_the_first_generation(alone, tmp_path):
    table = tuning.summary(alone)
    assert (table["state"][:4] == "complete").all()
    assert 0 < tuning.fraction_pruned(alone) < 1
    pruned = table[table["state"] == "pruned"]
    assert set(pruned["epochs"]) <= {1, 3}
    whole = tuning.summary(tuning.run(Toy(), search(rungs=()), "toy", folder=tmp_path, **FAST))
    assert (whole["state"] == "complete").all()
    assert (whole["epochs"] == EPOCHS).all()


def test_the_search_finds_better_settings_than_the_defaults(tmp_path):
    study = tuning.run(Toy(), search(40), "toy", folder=tmp_path, **FAST)
    assert tuning.best_trial(study).value > study.trials[0].value + 0.003


def test_the_summary_has_one_row_a_trial(alone):
    table = tuning.summary(alone)
    assert list(table.columns) == ["number", "state", "value", "epochs", "seconds", *SPACE]
    assert len(table) == 14
    assert (table["seconds"] > 0).all()
    best = tuning.best_trial(alone)
    assert best.value == table.loc[table["state"] == "complete", "value"].max()
    assert isinstance(table, pd.DataFrame)


def test_importances_rest_on_complete_trials_and_say_so(tmp_path):
    study = tuning.run(Toy(), search(30, rungs=()), "toy", folder=tmp_path, **FAST)
    fractions = tuning.importances(study)
    assert set(fractions) == set(SPACE)
    assert sum(fractions.values()) == pytest.approx(1.0)
    assert list(fractions.values()) == sorted(fractions.values(), reverse=True)
    text = conclusions.importances(study).text
    assert "30 complete trials." in text
    assert all(name.replace("_", " ") in text for name in list(fractions)[:3])
    assert tuning.importances(study) == fractions


def test_importances_of_too_few_trials_are_a_sentence_and_no_figure(tmp_path):
    study = tuning.run(Toy(), search(19, rungs=()), "toy", folder=tmp_path, **FAST)
    assert tuning.importances(study) == {}
    assert plots.parameter_figures(study, VALUE) == {}
    assert "20 complete trials are needed; this study has 19." in conclusions.importances(study).text


def test_a_database_holds_the_same_study(alone, tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/study.db"
    assert (
        facts(tuning.run(Toy(), search(6), "toy", folder=tmp_path, address=address, **FAST))
        == facts(alone)[:6]
    )
    monkeypatch.setenv(
        study_address.VARIABLE, address
    )  # as for a notebook, which holds only what is written down
    again = tuning.run(Toy(), search(), "toy", folder=tmp_path, address="sqlite:///study.db", **FAST)
    assert facts(again) == facts(alone)
    assert not Path("study.db").exists()
    assert not list(tmp_path.glob("*.journal"))


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("/tmp/a file", UsageError, "neither empty nor the address"),
        ("postgresql://user:hunter2@host:port/studies", UsageError, "neither empty nor the address"),
        ("postgresql://user:hunter2@127.0.0.1:1/studies", OsemnError, "refused"),
        ("postgres://user:hunter2@127.0.0.1:1/studies", OsemnError, "refused"),
        ("postgresql+psycopg://user:hunter2@127.0.0.1:1/studies?nonsense=1", OsemnError, "nonsense"),
        ("postgresql+psycopg2://user:hunter2@127.0.0.1:1/studies", UsageError, "is not installed"),
        ("nonsense://user:hunter2@127.0.0.1/studies", UsageError, "is not installed"),
        ("sqlite:////no/such/folder/study.db", OsemnError, "unable to open"),
    ],
)
def test_a_wrong_address_says_what_to_do_and_not_the_password(tmp_path, address, error, words):
    with pytest.raises(error) as refused:
        tuning.run(Toy(), search(2), "toy", folder=tmp_path, address=address, **FAST)
    assert type(refused.value) is error
    assert words in refused.value.problem
    assert refused.value.remedy
    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not writable"):
        tuning.run(Toy(), search(2), "toy", folder=tmp_path / "file", **FAST)


def test_a_damaged_journal_is_named(tmp_path):
    tuning.run(Toy(), search(2), "toy", folder=tmp_path, **FAST)
    path = storage.journal_path(tmp_path, tuning.full_name("toy", search()))
    path.write_bytes(path.read_bytes()[:100] + b"\n" + path.read_bytes()[200:])
    with pytest.raises(OsemnError, match="damaged"):
        tuning.run(Toy(), search(3), "toy", folder=tmp_path, **FAST)


def test_a_study_prints_nothing_and_leaves_optunas_log_as_it_was(tmp_path, capfd):
    before = optuna.logging.get_verbosity()
    study = tuning.run(Toy(), search(8, rungs=()), "toy", folder=tmp_path, **FAST)
    plots.history(study, VALUE)
    plots.parameter_figures(study, VALUE)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


@pytest.mark.filterwarnings("default")
def test_the_keras_callback_reports_each_epoch_and_ends_a_pruned_fit(tmp_path, seeded_tensorflow):
    import keras
    import numpy as np

    images, labels = np.zeros((8, 2), np.float32), np.zeros(8, np.int64)

    def objective(trial):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        callback = tuning.pruning_callback(trial)
        # the first generation classifies every image correctly, later trials none: they are pruned
        truth = labels if trial.number < 2 else labels + 1
        model.fit(images, labels, validation_data=(images, truth), epochs=4, verbose=0, callbacks=[callback])
        return 1.0

    wanted = Search({"rate": FloatDistribution(0, 1)}, 3, generation=2, rungs=(2,))
    study = tuning.run(objective, wanted, "toy", folder=tmp_path, **FAST)
    assert [trial.last_step for trial in study.trials] == [4, 4, 2]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]


@pytest.fixture(scope="module")
def pictured(tmp_path_factory) -> optuna.Study:
    return tuning.run(Toy(), search(45), "toy", folder=tmp_path_factory.mktemp("pictured"), **FAST)


def texts(figure: Figure) -> set[str]:
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}


def test_history_draws_complete_trials_the_best_so_far_and_pruned_ones(pictured):
    figure = plots.history(pictured, VALUE)
    axis = figure.axes[0]
    assert {
        "complete trial",
        "best so far",
        "pruned trial (without a value)",
        VALUE,
        "trial",
    } <= texts(figure)
    table = tuning.summary(pictured)
    assert len(axis.collections[0].get_offsets()) == (table["state"] == "complete").sum()
    assert len(axis.lines[1].get_xdata()) == (table["state"] == "pruned").sum()
    assert axis.lines[0].get_ydata()[-1] == tuning.best_trial(pictured).value


def test_importances_draw_one_bar_a_parameter(pictured):
    figure = plots.parameter_figures(pictured, VALUE)["importances"]
    assert len(figure.axes[0].patches) == len(SPACE)
    assert set(SPACE) <= texts(figure)
    fractions = tuning.importances(pictured)
    assert max(bar.get_width() for bar in figure.axes[0].patches) == pytest.approx(max(fractions.values()))
    assert figures.alt_text(figure).startswith(f"Importance of each parameter: {next(iter(fractions))}")


def test_parallel_coordinates_name_each_axis_by_the_parameter_it_shows(pictured):
    figure = plots.parameter_figures(pictured, VALUE)["parallel_coordinates"]
    figure.canvas.draw()
    axis, _, *twins = figure.axes
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert names == [VALUE, *sorted(SPACE)]
    complete = [trial for trial in pictured.trials if trial.state.name == "COMPLETE"]
    for name, twin in zip(names[1:], twins, strict=True):
        values = [trial.params[name] for trial in complete]
        if name != "width":  # choices are drawn by their place
            assert twin.get_ylim() == pytest.approx((min(values), max(values)))


def test_slices_draw_one_panel_a_parameter_in_the_order_of_the_space(pictured):
    figure = plots.parameter_figures(pictured, VALUE)["slices"]
    places = {axis: axis.get_subplotspec() for axis in figure.axes[: len(SPACE)]}
    panels = sorted(places, key=lambda axis: (places[axis].rowspan.start, places[axis].colspan.start))
    assert [panel.get_xlabel() for panel in panels] == list(SPACE)
    complete = [trial for trial in pictured.trials if trial.state.name == "COMPLETE"]
    drawn = panels[0].collections[0].get_offsets()[:, 0]
    assert sorted(drawn) == sorted(trial.params["learning_rate"] for trial in complete)
    figure.canvas.draw()
    boxes = [panel.get_tightbbox() for panel in panels]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])


@pytest.mark.parametrize("trials", [1, 20])
@pytest.mark.parametrize("names", [["dropout"], ["learning_rate", "width"]])
def test_small_studies_are_drawn_without_a_warning(tmp_path, trials, names):
    wanted = Search({name: SPACE[name] for name in names}, trials)
    study = tuning.run(lambda trial: 0.5, wanted, "toy", folder=tmp_path, **FAST)
    drawn = plots.parameter_figures(study, VALUE)
    assert len(drawn) == (2 if trials == 20 else 0)
    for figure in (plots.history(study, VALUE), *drawn.values()):
        assert figures.alt_text(figure)
        figure.canvas.draw()


def test_a_study_without_a_complete_trial_is_drawn_as_a_sentence(tmp_path):
    study = tuning.run(lambda trial: math.nan, search(3), "toy", folder=tmp_path, **FAST)
    assert texts(plots.history(study, VALUE)) >= {"No trial is complete, so there is nothing to draw."}
    assert "this study has 0" in conclusions.importances(study).text


def test_importances_of_equal_trials_are_a_sentence(tmp_path):
    study = tuning.run(lambda trial: 0.5, search(20), "toy", folder=tmp_path, **FAST)
    assert tuning.importances(study) == {}
    assert "importances" not in plots.parameter_figures(study, VALUE)
    assert "too similar" in conclusions.importances(study).text


def test_drawing_leaves_matplotlibs_settings_as_they_were(pictured):
    before = plt.rcParams.copy(), dict(plt.style.library["ggplot"])
    plots.parameter_figures(pictured, VALUE)
    plots.history(pictured, VALUE)
    assert (plt.rcParams, dict(plt.style.library["ggplot"])) == before
