"""The data set that a command names: found from the working directory, the same for every command."""

from pathlib import Path

from helpers import paths
from helpers.errors import UsageError
from helpers.series import parameters


def project_name(dataset: str) -> str:
    """Return a data set as the project knows it: a folder of images relative to the root inside it, else absolute.

    Args:
        dataset: as typed; a relative folder starts at the working directory, or else at the project's root.
    """
    if not paths.is_image_folder(dataset):
        return dataset
    folder = Path(dataset).expanduser()
    if not folder.is_absolute() and not folder.is_dir():
        return dataset
    folder, root = folder.resolve(), paths.project_root()
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.as_posix()


def known(dataset: str) -> str:
    """Return a data set as `project_name` does, if it is there.

    Raises:
        UsageError: it is neither built in nor a folder.
    """
    dataset = project_name(dataset)
    parameters.check_dataset(dataset)
    return dataset


def of_registry(dataset: str) -> str:
    """Return a data set as `known` does; where the registry has its folder, the images themselves may be elsewhere.

    Raises:
        UsageError: it is neither built in nor a folder, and the registry does not know its name.
    """
    dataset = project_name(dataset)
    if not _has_models(dataset):
        parameters.check_dataset(dataset)
    return dataset


def _has_models(dataset: str) -> bool:
    try:
        return paths.models_folder(dataset).is_dir()
    except UsageError:  # no name for a run
        return False
