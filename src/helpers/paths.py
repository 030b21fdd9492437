"""The layout of the project's folders; no other module knows it."""

import os
import re
from pathlib import Path

from helpers.errors import OsemnError, UsageError, nearest

BUILT_IN_DATASETS = ("fashion_mnist", "mnist", "digits")


def project_root() -> Path:
    """Return the project's root: `OSEMN_HOME`, or the first folder at or above the working directory with the series.

    Raises:
        OsemnError: `OSEMN_HOME` is not a project, or the working directory is outside a project.
    """
    named = os.environ.get("OSEMN_HOME")
    if named:
        root = Path(named).expanduser().resolve()
        if not _is_root(root):
            raise OsemnError(
                f"OSEMN_HOME is {named}, which does not contain notebooks/, profiles/ and a Snakefile.",
                "set OSEMN_HOME to the project's folder, or unset it",
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
    return all((folder / name).exists() for name in ("notebooks", "profiles", "Snakefile"))


def output_root() -> Path:
    """Return the folder of runs/, reports/ and models/ (`OSEMN_OUTPUT_DIR`, or the root)."""
    named = os.environ.get("OSEMN_OUTPUT_DIR")
    return Path(named).expanduser().resolve() if named else project_root()


def cache_root() -> Path:
    """Return the folder of downloaded data sets and weights (`OSEMN_CACHE_DIR`, or data/)."""
    named = os.environ.get("OSEMN_CACHE_DIR")
    return Path(named).expanduser().resolve() if named else project_root() / "data"


def notebook(stage: str) -> Path:
    """Return the source notebook of a stage."""
    return project_root() / "notebooks" / f"{stage}.ipynb"


def profile_file(profile: str) -> Path:
    """Return the YAML file of a profile."""
    return project_root() / "profiles" / f"{profile}.yaml"


def run_folder(dataset: str, profile: str) -> Path:
    """Return `runs/<dataset>/<profile>`; a folder of images is filed under its own name."""
    return output_root() / "runs" / dataset_slug(dataset) / profile


def stage_folder(dataset: str, profile: str, stage: str) -> Path:
    """Return `runs/<dataset>/<profile>/<stage>`."""
    return run_folder(dataset, profile) / stage


def report_folder(dataset: str, profile: str) -> Path:
    """Return `reports/<dataset>/<profile>`."""
    return output_root() / "reports" / dataset_slug(dataset) / profile


def web_folder() -> Path:
    """Return the folder of the browser demo: template, style and scripts."""
    folder = project_root() / "web"
    return folder if folder.is_dir() else Path(__file__).resolve().parents[2] / "web"


def models_folder(dataset: str) -> Path:
    """Return `models/<dataset>`, the folder of the registry's versions."""
    return output_root() / "models" / dataset_slug(dataset)


def is_image_folder(dataset: str) -> bool:
    """Return True if `dataset` is a folder of images rather than a built-in data set."""
    return dataset not in BUILT_IN_DATASETS


def image_folder(dataset: str) -> Path:
    """Return the path of a folder of images; a relative path starts at the project's root."""
    path = Path(dataset).expanduser()
    return path if path.is_absolute() else project_root() / path


def project_dataset(dataset: str) -> str:
    """Convert a data set as typed to its name in the project: a folder relative to the root if inside, else absolute.

    Args:
        dataset: a built-in data set, or a folder relative to the working directory, or else to the project's root.
    """
    folder = Path(dataset).expanduser()
    if not is_image_folder(dataset) or not (folder.is_absolute() or folder.is_dir()):
        return dataset
    folder, root = folder.resolve(), project_root()
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.as_posix()


def check_dataset(dataset: str) -> None:
    """Check that a data set is built in, or a folder that exists.

    Raises:
        UsageError: it is neither.
    """
    if not is_image_folder(dataset) or image_folder(dataset).is_dir():
        return
    folder = "name a folder with one sub-folder of images per class"
    if "/" in dataset or "\\" in dataset:
        raise UsageError(f"There is no folder '{dataset}'.", folder)
    raise UsageError(
        f"There is no data set '{dataset}'.", f"{nearest(dataset, BUILT_IN_DATASETS)}; or {folder}"
    )


def dataset_slug(dataset: str) -> str:
    """Return the name under which a data set's runs and reports are filed.

    Raises:
        UsageError: a folder's name has no letters or digits, or is the name of a built-in data set.
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
    """Format a path for messages: relative to the project if it is inside."""
    path = Path(path)
    for base in (output_root(), project_root()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.as_posix()
