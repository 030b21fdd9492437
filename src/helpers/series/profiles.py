"""Where parameter values other than the notebooks' defaults come from: profiles, and `--set` on the command line."""

import re
from typing import Any

import yaml

from helpers import paths
from helpers.errors import UsageError, nearest
from helpers.series import stages


class _Yaml(yaml.SafeLoader):
    """YAML that reads `3e-4` as a number; plain YAML 1.1 reads it as text and expects `3.0e-4`."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, _Yaml)  # a SafeLoader


def names() -> list[str]:
    """Return the names of all profiles."""
    return sorted(path.stem for path in (paths.project_root() / "profiles").glob("*.yaml"))


def load(profile: str) -> dict[str, dict[str, Any]]:
    """Load a profile: `{stage: {parameter: value}}`.

    Raises:
        UsageError: the profile does not exist, is not valid YAML, or names an unknown stage.
    """
    if profile not in names():
        raise UsageError(f"There is no profile '{profile}'.", nearest(profile, names()))
    path = paths.profile_file(profile)
    try:
        content = _read_yaml(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{paths.shown(path)} is not readable YAML: {error}.", "correct the file") from None
    for stage, values in content.items():
        stages.of_notebook(stage)
        if not isinstance(values, dict):
            raise UsageError(
                f"{paths.shown(path)}: '{stage}' must hold 'parameter: value' lines.", "correct the file"
            )
    return content


def parse_overrides(settings: list[str]) -> dict[str, dict[str, Any]]:
    """Parse `STAGE.parameter=value` settings; values are YAML scalars or lists.

    Raises:
        UsageError: a setting has another form, or names an unknown stage.
    """
    overrides: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        stage, _, parameter = name.partition(".")
        if not equals or not parameter:
            raise UsageError(
                f"'{setting}' does not have the form STAGE.parameter=value.",
                "as in --set 04_baseline.cnn_epochs=5",
            )
        stages.of_notebook(stage)
        if parameter == "candidate":
            raise UsageError(
                "The series runs for every candidate.", "choose with --until, for example 07_evaluation/tuned"
            )
        if parameter in ("dataset", "profile"):
            raise UsageError(f"'{parameter}' applies to the whole run.", f"use --{parameter}")
        try:
            overrides.setdefault(stage, {})[parameter] = _read_yaml(text)
        except yaml.YAMLError:
            raise UsageError(f"The value in '{setting}' cannot be read.", "quote it for your shell") from None
    return overrides
