"""`osemn models`: list a data set's versions, choose the served one, remove old ones."""

from typing import Annotated

import typer

from helpers import paths, wording

app = typer.Typer(no_args_is_help=False, pretty_exceptions_enable=False)

Dataset = Annotated[
    str,
    typer.Option(
        callback=paths.project_dataset,
        help=f"{', '.join(paths.BUILT_IN_DATASETS)}, or your own images: a folder, a table (.csv, .tsv, .parquet, .jsonl), an "
        "archive (.zip, .tar, .tar.gz), or an address of one of these (s3://, gs://, https://, hf://datasets/…).",
    ),
]
"""The data set of every command, converted from the name as typed."""
Version = Annotated[str, typer.Argument(help="A name that 'osemn models' lists.")]


def check_dataset(dataset: str) -> None:
    """Check that a data set exists or has a folder in the registry, which does not need the images.

    Raises:
        UsageError: it is neither built in nor one's own images, and the registry does not know its name.
    """
    if not paths.models_folder(dataset).is_dir():
        paths.check_dataset(dataset)


def _registry(dataset: str):
    from helpers.export.registry import Registry

    check_dataset(dataset)
    return Registry(dataset)


@app.callback(invoke_without_command=True, epilog="Example: osemn models --dataset mnist")
def models(context: typer.Context, dataset: Dataset = "fashion_mnist") -> None:
    """List the versions of a data set's champion, newest first. The served version is marked with *."""
    if context.invoked_subcommand:
        # The data set named before a sub-command is the default of its own option.
        local = paths.is_own(dataset) and not paths.is_address(dataset)
        typed = str(paths.local_path(dataset)) if local else dataset
        context.default_map = {context.invoked_subcommand: {"dataset": typed}}
        return
    registry = _registry(dataset)
    served = registry.promoted()[:1]
    versions = registry.versions()
    if served and served[0] not in [version.name for version in versions]:
        typer.echo(f"The served version, {served[0]}, is missing; 'osemn models promote' chooses another")
    if not versions:
        typer.echo(f"{dataset} has no versions yet; 'osemn run --until 10_export' creates one")
        return
    for version in versions:
        mark = "*" if version.name in served else " "
        typer.echo(f"{mark} {version.name}  {_described(version.manifest)}")
    if not served:
        typer.echo("No version is served yet; 'osemn models promote VERSION' chooses one")


def _described(manifest: dict) -> str:
    try:
        test = manifest["metrics"]["test"]
        low, high = test["accuracy_ci95"]
        label, profile = manifest["label"], manifest["profile"]
        return f"{wording.percent(test['accuracy'])} ({low:.1%}–{high:.1%}) on test  {label}  [{profile}]"
    except (KeyError, TypeError, ValueError):
        return "its manifest cannot be read"


@app.command(epilog="Example: osemn models promote 20260131-142530-1a2b3c4d")
def promote(version: Version, dataset: Dataset = "fashion_mnist") -> None:
    """Verify a version's files and golden outputs, then serve it."""
    served = _registry(dataset).promote(version)
    typer.echo(f"{served.name} is served now: {_described(served.manifest)}")


@app.command(epilog="Example: osemn models rollback")
def rollback(dataset: Dataset = "fashion_mnist") -> None:
    """Serve the version again that was served before the current one."""
    served = _registry(dataset).rollback()
    typer.echo(f"{served.name} is served again: {_described(served.manifest)}")


@app.command(epilog="Example: osemn models prune --keep 5")
def prune(
    keep: Annotated[int, typer.Option(help="Number of versions to keep.")] = 5,
    dataset: Dataset = "fashion_mnist",
) -> None:
    """Remove all but the newest versions. The served version and the one before it are never removed."""
    removed = _registry(dataset).prune(keep)
    typer.echo(f"Removed: {', '.join(removed)}" if removed else "Nothing to remove")


@app.command(epilog="Example: osemn models check 20260131-142530-1a2b3c4d")
def check(
    version: Annotated[
        str, typer.Argument(help="A name that is listed; by default the served version.")
    ] = "",
    dataset: Dataset = "fashion_mnist",
) -> None:
    """Verify a version's files, by hash, and its golden outputs. Nothing is changed."""
    from helpers.export import versions

    registry = _registry(dataset)
    checked = registry.find(version) if version else registry.current()
    versions.verify(checked)
    worst = versions.replay(checked)
    files = len(checked.manifest["files"])
    typer.echo(f"{checked.name} is complete: {files} files; golden outputs within {wording.bound(worst)}")
