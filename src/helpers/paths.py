"""Where things are; the only module that knows the layout of the project's folders."""

import os
import re
from pathlib import Path

from helpers.errors import OsemnError, UsageError

BUILT_IN_DATASETS = ("fashion_mnist", "mnist", "digits")


def project_root() -> Path:
    """Return the project's root: `OSEMN_HOME`, or the first folder upwards that holds the series.

    Raises:
        OsemnError: `OSEMN_HOME` is no project, or the working directory is outside of one.
    """
    named = os.environ.get("OSEMN_HOME")
    if named:
        root = Path(named).expanduser().resolve()
        if not _is_root(root):
            raise OsemnError(
                f"OSEMN_HOME names {named}, which holds no notebooks/ and profiles/.",
                "point OSEMN_HOME at the folder that holds the Snakefile, or unset it",
            )
        return root
    here = Path.cwd().resolve()
    installed_from = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, installed_from):
        if _is_root(folder):
            return folder
    raise OsemnError(
        "The working directory is not inside the OSEMN Vision project.",
        "change into the project's folder, or set OSEMN_HOME to it",
    )


def _is_root(folder: Path) -> bool:
    return (
        (folder / "notebooks").is_dir()
        and (folder / "profiles").is_dir()
        and (folder / "Snakefile").is_file()
    )


def output_root() -> Path:
    """Return the folder that holds runs/, reports/ and models/ (`OSEMN_OUTPUT_DIR`, or the root)."""
    named = os.environ.get("OSEMN_OUTPUT_DIR")
    return Path(named).expanduser().resolve() if named else project_root()


def cache_root() -> Path:
    """Return the folder where acquired data sets and weights are kept (`OSEMN_CACHE_DIR`, or data/)."""
    named = os.environ.get("OSEMN_CACHE_DIR")
    return Path(named).expanduser().resolve() if named else project_root() / "data"


def notebook(stage: str) -> Path:
    """Return the source notebook of a stage."""
    return project_root() / "notebooks" / f"{stage}.ipynb"


def profile_file(profile: str) -> Path:
    """Return the YAML file of a profile."""
    return project_root() / "profiles" / f"{profile}.yaml"


def run_folder(dataset: str, profile: str) -> Path:
    """Return `runs/<dataset>/<profile>`; a folder of images goes by its own name."""
    return output_root() / "runs" / dataset_slug(dataset) / profile


def stage_folder(dataset: str, profile: str, stage: str) -> Path:
    """Return `runs/<dataset>/<profile>/<stage>`."""
    return run_folder(dataset, profile) / stage


def report_folder(dataset: str, profile: str) -> Path:
    """Return `reports/<dataset>/<profile>`."""
    return output_root() / "reports" / dataset_slug(dataset) / profile


def web_folder() -> Path:
    """Return the folder of the page that tries a model in the browser: template, style and scripts."""
    mine = project_root() / "web"
    return mine if mine.is_dir() else Path(__file__).resolve().parents[2] / "web"


def models_folder(dataset: str) -> Path:
    """Return `models/<dataset>`, where the registry keeps its versions."""
    return output_root() / "models" / dataset_slug(dataset)


def is_image_folder(dataset: str) -> bool:
    """Tell whether `dataset` means a folder of images rather than a built-in data set."""
    return dataset not in BUILT_IN_DATASETS


def image_folder(dataset: str) -> Path:
    """Return the folder that `dataset` names; a relative path starts at the project's root."""
    path = Path(dataset).expanduser()
    return path if path.is_absolute() else project_root() / path


def dataset_slug(dataset: str) -> str:
    """Return the name under which a data set's runs and reports are filed.

    Raises:
        UsageError: a folder's name has no letters or digits, or is that of a built-in data set.
    """
    if not is_image_folder(dataset):
        return dataset
    slug = re.sub(r"[^a-z0-9]+", "_", image_folder(dataset).name.lower()).strip("_")
    if not slug or slug in BUILT_IN_DATASETS:
        raise UsageError(
            f"The folder name '{image_folder(dataset).name}' cannot name a run.",
            f"rename the folder; it needs letters or digits and must not be one of: {', '.join(BUILT_IN_DATASETS)}",
        )
    return slug


def shown(path: Path) -> str:
    """Return a path as it is shown to people: relative to the project where it lies inside."""
    path = Path(path)
    for base in (output_root(), project_root()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.as_posix()
