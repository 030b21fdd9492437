"""What a run is about: its stage, the checked parameters, and the folder for its files, resolved once.

Parameter values come from the notebook's cell, then the profile, then the command line. They are checked before a
kernel starts, and again by `Run.start` for notebooks that are run by hand.
"""

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.series import manifests, notebook_cells, parameters, profiles, stages, study_address

EXECUTOR_VARIABLE = "OSEMN_EXECUTING"
"""The environment variable by which `helpers.series.execute` tells a kernel the stage for which it runs a notebook."""


@dataclass
class ResolvedStage:
    """A stage with the parameters of one run.

    Attributes:
        stage: its row in the table of stages.
        parameters: the checked parameters by name, as they are written down.
        private: variables for the kernel: what is not written down.
    """

    stage: stages.Stage
    parameters: dict[str, Any]
    private: dict[str, str] = field(default_factory=dict, kw_only=True)

    @cached_property
    def root(self) -> Path:
        """The folder of all stages of this data set and profile."""
        return paths.run_folder(self.parameters["dataset"], self.parameters["profile"])

    @property
    def folder(self) -> Path:
        """The folder of this stage's files, which a finished run replaces."""
        return self.root / self.stage.name

    @property
    def partial(self) -> Path:
        """The folder that a run writes to until it is finished."""
        return self.folder.with_name(f"{self.folder.name}.partial")


def resolve(
    stage: str, dataset: str, profile: str, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> ResolvedStage:
    """Resolve a stage by name: the notebook's defaults, then the profile, then the overrides.

    For a notebook that runs for several candidates, profile and overrides may name the notebook or one of its stages.

    Raises:
        UsageError: a name is unknown, a type is wrong or a value is out of range.
    """
    paths.check_dataset(dataset)
    spec = stages.find(stage)
    values = notebook_cells.defaults(spec.notebook)
    for given in (profiles.load(profile), overrides or {}):
        for name in dict.fromkeys((spec.notebook, spec.name)):
            values.update(given.get(name, {}))
    values.update(dataset=paths.recorded_dataset(dataset), profile=profile)
    if spec.candidate:
        values.update(candidate=spec.candidate)
    private = {study_address.VARIABLE: values["storage"]} if values.get("storage") else {}
    return ResolvedStage(spec, parameters.check(stage, values), private=private)


def resolve_namespace(stage: str, namespace: Mapping[str, Any]) -> ResolvedStage:
    """Resolve a stage from a notebook's variables; for several candidates, the variable `candidate` names the stage.

    Where `helpers.series.execute` runs the notebook, it is that stage, whatever name was saved in the notebook. By hand without a
    name, it is the stage of the candidate with the highest validation score so far.

    Args:
        stage: the notebook's name, or the stage's.
        namespace: where the parameters are; in a notebook, `globals()`.

    Raises:
        UsageError: as for `resolve`.
        MissingInputError: without a name, the files of a trained candidate are damaged.
    """
    notebook = stages.notebook_of(stage)
    fields = parameters.MODELS[notebook].model_fields
    given = dict.fromkeys(_injected_names(namespace)) | {
        name: namespace[name] for name in fields if name in namespace
    }
    values = parameters.check(stage, given)
    paths.check_dataset(values["dataset"])
    paths.claim(values["dataset"])
    values["dataset"] = paths.recorded_dataset(values["dataset"])
    profiles.load(values["profile"])
    if "candidate" not in values:
        return ResolvedStage(stages.find(stage), values)
    executed = os.environ.get(EXECUTOR_VARIABLE, "")
    if executed.split("/")[0] == notebook:
        values["candidate"] = stages.find(executed).candidate
    elif not values["candidate"]:
        values["candidate"] = _best_trained(values["dataset"], values["profile"])
    return ResolvedStage(stages.find(f"{notebook}/{values['candidate']}"), values)


def _best_trained(dataset: str, profile: str) -> str:
    """Return the trained candidate with the highest validation score; the first one to train if there is none yet."""
    import numpy as np

    from helpers.series import metrics

    root, command = paths.run_folder(dataset, profile), manifests.command(dataset, profile)
    trained = [name for name, stage in stages.CANDIDATES.items() if manifests.read(root / stage) is not None]
    if len(trained) <= 1:
        return next(iter(trained or stages.CANDIDATES))
    for stage in ("03_preprocess", *(stages.CANDIDATES[name] for name in trained)):
        manifests.require(root / stage, stage, command)
    metric, scores = metrics.load(root / "03_preprocess" / "metric.json"), {}
    for name in trained:
        with np.load(root / stages.CANDIDATES[name] / "validation_predictions.npz") as saved:
            num_classes = saved[f"probabilities_{name}"].shape[1]
            # rounded, as equal means of recalls differ in their last bit; of equals, the first takes least time
            scores[name] = round(metric(saved["labels"], saved[f"predicted_{name}"], num_classes), 9)
    return max(trained, key=scores.__getitem__)


def _injected_names(namespace: Mapping[str, Any]) -> Iterator[str]:
    """Return the names that papermill injected; for an unknown one, papermill itself only prints a warning."""
    for source in namespace.get("In", []):
        if source.startswith("# Parameters\n"):
            for statement in ast.parse(source).body:
                for target in statement.targets if isinstance(statement, ast.Assign) else []:
                    if isinstance(target, ast.Name):
                        yield target.id
