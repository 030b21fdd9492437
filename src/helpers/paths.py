"""The layout of the project's folders; no other module knows it."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, urlsplit

from helpers.errors import OsemnError, UsageError, nearest

BUILT_IN_DATASETS = ("fashion_mnist", "mnist", "digits")
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
TABLES = (".csv", ".tsv", ".parquet", ".jsonl")
STORES = ("s3", "gs", "https", "http", "hf")
OWN_FORMS = (
    "name a folder of images, a table (.csv, .tsv, .parquet, .jsonl), an archive (.zip, .tar, .tar.gz), or an address "
    "of one of these (s3://, gs://, https://, hf://datasets/…)"
)
# names of files that say nothing about the images
_GENERIC = {
    *("annotations", "archive", "data", "dataset", "images", "index", "labels", "metadata", "test", "train"),
    *("training", "val", "valid", "validation"),
}
_CACHE = "(cache)"
_SECRET = re.compile(r"\bsig\b|signature|token|key|secret|pass|credential|auth", re.IGNORECASE)


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
    """Return `runs/<dataset>/<profile>`; one's own images are filed under their name, see `dataset_slug`."""
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


def is_own(dataset: str) -> bool:
    """Return True if `dataset` names one's own images rather than a built-in data set."""
    return dataset not in BUILT_IN_DATASETS


def is_address(dataset: str) -> bool:
    """Return True if one's own images lie behind an address such as `s3://bucket/pets`."""
    return "://" in dataset


def file_kind(dataset: str) -> str:
    """Return "archive" or "table" by the ending of a path or an address; `""` for anything else."""
    return _kind(_address_path(dataset) if is_address(dataset) else local_path(dataset).name)


def _kind(name: str) -> str:
    name = name.lower()
    return "archive" if name.endswith(ARCHIVES) else "table" if name.endswith(TABLES) else ""


def local_path(dataset: str) -> Path:
    """Return the path of one's own images on this machine.

    Args:
        dataset: a path, relative to the project's root if not absolute; or the name that `claim` gave a place, or a path
            that begins with that name.
    """
    path = project_root() / Path(dataset).expanduser()
    name, _, rest = dataset.partition("/")
    if name == _CACHE:
        return cache_root() / rest
    place = "" if path.exists() else _claimed().get(name, "")
    return Path(os.path.normpath(project_root() / place / rest)) if place and not is_address(place) else path


def claim(dataset: str) -> None:
    """Remember that the name of one's own images, `dataset_slug`, belongs to their place, until that is gone.

    Only the file of the claims holds the place; runs, reports and versions hold the name.
    """
    record = _claims()
    if not is_own(dataset) or _claimed().get(dataset_slug(dataset)) == _place(dataset):
        return
    from filelock import FileLock  # takes as long to import as the rest, and most commands need it never

    record.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(record.with_suffix(".lock")):
        places = {**_claimed(), dataset_slug(dataset): _place(dataset)}
        temporary = record.with_suffix(".tmp")
        temporary.write_text(json.dumps(places, indent=2), encoding="utf-8")
        temporary.replace(record)


def recorded_dataset(dataset: str) -> str:
    """Return a data set as runs, reports and versions write it down: by its name if it lies outside the project."""
    outside = is_own(dataset) and not is_address(dataset) and Path(_place(dataset)).is_absolute()
    return dataset_slug(dataset) if outside else dataset


def recorded_folder(folder: Path, dataset: str) -> str:
    """Return a folder with images of a data set so that `local_path` finds it, also after a claimed data set was moved."""
    if is_address(dataset) or file_kind(dataset) == "archive":
        return f"{_CACHE}/{folder.relative_to(cache_root()).as_posix()}"
    name, place = dataset_slug(dataset), _place(dataset)
    if not Path(place).is_absolute() or _claimed().get(name) != place:
        return project_path(str(folder))
    return f"{name}/{Path(os.path.relpath(folder, place)).as_posix()}"


def _claims() -> Path:
    return output_root() / "runs" / ".places.json"


def _claimed() -> dict[str, str]:
    """Return the places that have a name: absolute, relative to the project, or an address."""
    try:
        return json.loads(_claims().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _place(dataset: str) -> str:
    return shown_dataset(dataset) if is_address(dataset) else project_path(str(local_path(dataset)))


def project_path(typed: str) -> str:
    """Return a path relative to the project's root if it is inside, else absolute."""
    path, root = Path(typed).expanduser().resolve(), project_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def project_dataset(dataset: str) -> str:
    """Convert a data set as typed to its name in the project: a path relative to the root if inside, else absolute.

    Args:
        dataset: a built-in data set, an address, or a path relative to the working directory, or else to the project's
            root.

    Raises:
        UsageError: an address holds credentials.
    """
    if is_address(dataset):
        _refuse_credentials(dataset)
        return dataset.rstrip("/")
    path = Path(dataset).expanduser()
    if not dataset or not is_own(dataset) or not (path.is_absolute() or _is_place(path)):
        return dataset
    return project_path(dataset)


def check_dataset(dataset: str) -> None:
    """Check that a data set is built in, a folder or file that exists, or an address of a known form.

    Raises:
        UsageError: it is neither, or an address holds credentials, which would be stored with the run.
    """
    if not dataset:
        raise UsageError("The name of the data set is empty.", OWN_FORMS)
    if is_address(dataset):
        _check_address(dataset)
    elif not is_own(dataset) or _is_place(local_path(dataset)):
        return
    elif local_path(dataset).is_file():
        raise UsageError(f"The file '{dataset}' is not a table or an archive by its name.", OWN_FORMS)
    elif "/" in dataset or "\\" in dataset or file_kind(dataset):
        raise UsageError(f"There is no {'file' if file_kind(dataset) else 'folder'} '{dataset}'.", OWN_FORMS)
    else:
        raise UsageError(
            f"There is no data set '{dataset}'.", f"{nearest(dataset, BUILT_IN_DATASETS)}; or {OWN_FORMS}"
        )


def _is_place(path: Path) -> bool:
    return path.is_dir() or (bool(_kind(path.name)) and path.is_file())


def _check_address(dataset: str) -> None:
    _refuse_credentials(dataset)
    scheme, _, rest = dataset.partition("://")
    if scheme not in STORES:
        raise UsageError(f"Addresses that begin with '{scheme}://' are not supported.", OWN_FORMS)
    if not rest.strip("/") or {".", ".."} & set(rest.split("/")):
        raise UsageError(f"'{dataset}' does not name a place.", OWN_FORMS)
    if scheme == "hf" and (not rest.startswith("datasets/") or rest.count("/") < 2):
        raise UsageError(
            f"'{shown_dataset(dataset)}' does not name a data set of the hub.",
            "write hf://datasets/OWNER/NAME",
        )


def _refuse_credentials(dataset: str) -> None:
    """Refuse an address with a password or a signature: parameters are stored with the run."""
    parts = urlsplit(dataset)
    names = [name for name, _ in parse_qsl(f"{parts.query}&{parts.fragment}", keep_blank_values=True)]
    if re.search(r"@|:(?!\d*$)", parts.netloc) or any(_SECRET.search(name) for name in names):
        raise UsageError(
            "The address of the data set holds a password, a key or a signature, which would be stored with the run.",
            "give credentials in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, or for a web server a line in ~/.netrc; "
            "or download the file and name it",
        )


def _address_path(dataset: str) -> str:
    return urlsplit(dataset)._replace(query="", fragment="").geturl().rstrip("/")


def shown_dataset(dataset: str) -> str:
    """Return a data set for messages and files: an address without user, password, query and fragment."""
    if not is_address(dataset):
        return dataset
    scheme, _, rest = _address_path(dataset).partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def own_title(dataset: str) -> str:
    """Return the name of one's own images: of the folder or archive, or of the folder around a table named `labels`."""
    place = (
        shown_dataset(dataset).partition("://")[2] if is_address(dataset) else local_path(dataset).as_posix()
    )
    *folders, last = PurePosixPath(place).parts or ("",)
    if not _kind(last):
        return last
    ending = next(ending for ending in (*ARCHIVES, *TABLES) if last.lower().endswith(ending))
    names = [last[: -len(ending)], *reversed(folders)]
    return next((name for name in names if name.lower() not in _GENERIC), names[0])


def dataset_slug(dataset: str) -> str:
    """Return the name under which a data set's runs and reports are filed: its own, with folders above it if that is taken.

    Raises:
        UsageError: the name has no letters or digits, or is that of a built-in data set.
    """
    if not is_own(dataset):
        return dataset
    claimed, place = _claimed(), _place(dataset)
    names = list(_names(dataset))
    mine = [name for name in names if claimed.get(name) == place]
    free = (name for name in names if name not in claimed or not _exists(claimed[name]))
    return next(iter(mine), None) or next(free, names[-1])


def _names(dataset: str) -> Iterator[str]:
    """Yield the names that a data set may have: `pets`, `b_pets`, `a_b_pets`, and so on."""
    title, place = own_title(dataset), _place(dataset)
    folders = PurePosixPath(place.partition("://")[2] if is_address(dataset) else place).parts
    above = folders[: folders.index(title)] if title in folders else folders[:-1]
    for start in range(len(above), -1, -1):
        slug = re.sub(r"[^a-z0-9]+", "_", "_".join([*above[start:], title]).lower()).strip("_")
        if start == len(above) and (not slug or slug in BUILT_IN_DATASETS):
            raise UsageError(
                f"The name '{title}' cannot name a run.",
                "rename the folder or file; it needs letters or digits and must not be one of: "
                f"{', '.join(BUILT_IN_DATASETS)}",
            )
        yield slug


def _exists(place: str) -> bool:
    return is_address(place) or (project_root() / place).exists()


def shown(path: Path) -> str:
    """Format a path for messages: relative to the project if it is inside."""
    path = Path(path)
    for base in (output_root(), project_root()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.as_posix()


def openable(path: Path) -> str:
    """Format the path of a result so that it opens from the working directory: relative if it is inside, else absolute."""
    path, here = Path(path).resolve(), Path.cwd().resolve()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
