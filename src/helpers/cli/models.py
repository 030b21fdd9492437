"""`osemn models`: list a data set's versions, choose which is served, remove old ones."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=False, pretty_exceptions_enable=False)

Dataset = Annotated[
    str, typer.Option(help="The data set whose versions are meant, as for 'osemn run'.", show_default=True)
]


Version = Annotated[str, typer.Argument(help="As 'osemn models' lists it.")]
OwnDataset = Annotated[
    str, typer.Option("--dataset", help="As for 'osemn models'.", show_default="fashion_mnist")
]


def _registry(dataset: str):
    from helpers.cli import datasets
    from helpers.export.registry import Registry

    return Registry(datasets.of_registry(dataset))


@app.callback(invoke_without_command=True, epilog="Example: osemn models --dataset mnist")
def models(context: typer.Context, dataset: Dataset = "fashion_mnist") -> None:
    """List the versions of a data set's champion, the newest first; the served one is marked with *."""
    context.obj = dataset
    if context.invoked_subcommand:
        return
    registry = _registry(dataset)
    served = registry.promoted()[:1]
    versions = registry.versions()
    if served and served[0] not in [version.name for version in versions]:
        typer.echo(
            f"The served version, {served[0]}, is missing; 'osemn models promote VERSION' chooses another"
        )
    if not versions:
        typer.echo(f"{dataset} has no versions yet; 'osemn run --until 10_export' makes one")
        return
    for version in versions:
        mark = "*" if version.name in served else " "
        typer.echo(f"{mark} {version.name}  {_described(version.manifest)}")
    if not served:
        typer.echo("None is served yet; 'osemn models promote VERSION' chooses one")


def _described(manifest: dict) -> str:
    try:
        test = manifest["metrics"]["test"]
        low, high = test["accuracy_ci95"]
        label, profile = manifest["label"], manifest["profile"]
        return f"{test['accuracy']:.1%} ({low:.1%}–{high:.1%}) on test  {label}  [{profile}]"
    except (KeyError, TypeError, ValueError):
        return "its manifest cannot be read"


@app.command(epilog="Example: osemn models promote 20260131-142530-1a2b3c4d")
def promote(context: typer.Context, version: Version, dataset: OwnDataset = "") -> None:
    """Check every file and the golden outputs of a version, then let it be the one that is served."""
    found = _registry(dataset or context.obj).promote(version)
    typer.echo(f"{found.name} is served now: {_described(found.manifest)}")


@app.command(epilog="Example: osemn models rollback")
def rollback(context: typer.Context, dataset: OwnDataset = "") -> None:
    """Serve the version again that was served before the current one."""
    found = _registry(dataset or context.obj).rollback()
    typer.echo(f"{found.name} is served again: {_described(found.manifest)}")


@app.command(epilog="Example: osemn models prune --keep 5")
def prune(
    context: typer.Context,
    keep: Annotated[int, typer.Option(help="How many versions to keep.")] = 5,
    dataset: OwnDataset = "",
) -> None:
    """Remove all but the newest versions; the one that is served and the one before it always stay."""
    removed = _registry(dataset or context.obj).prune(keep)
    typer.echo(f"Removed: {', '.join(removed)}" if removed else "Nothing to remove")


@app.command(epilog="Example: osemn models check 20260131-142530-1a2b3c4d")
def check(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="As listed; without it, the one that is served.")] = "",
    dataset: OwnDataset = "",
) -> None:
    """Check every file of a version by its hash, and its golden outputs; change nothing."""
    from helpers import wording
    from helpers.export import versions

    registry = _registry(dataset or context.obj)
    found = registry.find(version) if version else registry.current()
    versions.verify(found)
    difference = versions.replay(found)
    files = len(found.manifest["files"])
    typer.echo(f"{found.name} is whole: {files} files; golden outputs within {wording.bound(difference)}")
