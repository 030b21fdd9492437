"""A user's settings for other work change no result: the same metrics, or a refusal that names the setting.

All settings at once are tried on the warm-up in each run of the tests. `OSEMN_HOSTILE=1 pytest tests/series/test_hostile_environment.py`
tries one at a time, too, and all at once on the whole series.
"""

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from conftest import REPOSITORY, osemn
from helpers.series import stages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KERNEL = {"argv": ["/bin/false", "{connection_file}"], "display_name": "other", "language": "python"}
KERAS = {"floatx": "float16", "epsilon": 0.1, "backend": "jax", "image_data_format": "channels_first"}
FILES = {
    "keras/keras.json": json.dumps(KERAS),
    "matplotlibrc": "text.usetex: True\nbackend: TkAgg\nfigure.dpi: 10\n",
    "kernels/python3/kernel.json": json.dumps(KERNEL),
    "ipython/profile_default/startup/00.py": "raise SystemExit",
    "ipython/profile_default/ipython_kernel_config.py": "c.InteractiveShell.ast_node_interactivity = 'none'",
    "startup.py": "import numpy; numpy.random.seed = None",
    "snakemake/config.yaml": "use-conda: true\ncores: 0\nprintshellcmds: true\n",
    "netrc": "",
}
LONG = "a" * 95

# By variable: its value, in which {0} is a folder with FILES; None unsets it.
SETTINGS = {
    "KERAS_HOME": "{0}/keras",
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "TF_DETERMINISTIC_OPS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "CUDA_VISIBLE_DEVICES": "7",
    "MPLBACKEND": "TkAgg",
    "MATPLOTLIBRC": "{0}/matplotlibrc",
    "MPLCONFIGDIR": "/dev/null/matplotlib",
    "SNAKEMAKE_PROFILE": "{0}/snakemake",
    "JUPYTER_PATH": "{0}",
    "JUPYTER_PREFER_ENV_PATH": "0",
    "JUPYTER_PLATFORM_DIRS": "1",
    "JUPYTER_RUNTIME_DIR": "/dev/null/jupyter",
    "IPYTHONDIR": "{0}/ipython",
    "PYTHONSTARTUP": "{0}/startup.py",
    "PYTHONWARNINGS": "error::UserWarning",
    "PYTHONHASHSEED": "7",
    "PYTHONOPTIMIZE": "1",
    "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "ascii:replace",
    "LC_ALL": "C",
    "LANG": "tr_TR.ISO-8859-9",
    "TZ": "Asia/Kathmandu",
    "HOME": "/dev/null/home",
    "USER": None,
    "LOGNAME": None,
    "XDG_CACHE_HOME": "/dev/null/cache",
    "XDG_CONFIG_HOME": "/dev/null/config",
    "XDG_DATA_HOME": "/dev/null/data",
    "XDG_RUNTIME_DIR": "/dev/null/runtime",
    "TMPDIR": f"{{0}}/{LONG}",
    "NETRC": "{0}/netrc",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "COLUMNS": "20",
    "TERM": "dumb",
    "FORCE_COLOR": "1",
    "SHELL": "/bin/false",
    "SOURCE_DATE_EPOCH": "0",
    "umask": "077",
}
ONLY_ASKED = pytest.param("", marks=pytest.mark.skip(reason="takes ten minutes: set OSEMN_HOSTILE=1"))
EACH = SETTINGS if os.environ.get("OSEMN_HOSTILE") else [ONLY_ASKED]


@pytest.fixture(scope="module")
def metrics_under(tmp_path_factory) -> Callable[..., dict]:
    """A function that runs the warm-up, or all stages, with some settings, and returns the metrics, or the predictions' hashes."""
    files = tmp_path_factory.mktemp("settings")
    for name, content in FILES.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(content)
    (files / LONG).mkdir()

    def metrics(settings: dict[str, str | None], *, whole: bool = False) -> dict:
        place = tmp_path_factory.mktemp("output")
        environment = {**os.environ, "OSEMN_HOME": str(REPOSITORY), "OSEMN_OUTPUT_DIR": str(place)}
        for name, value in settings.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value.format(files)
        mask = int(environment.pop("umask", "022"), 8)
        arguments = ("run", "--dataset", "digits", "--profile", "smoke")
        arguments += () if whole else ("--until", "00_warm_up")
        done: subprocess.CompletedProcess = osemn(*arguments, env=environment, umask=mask, timeout=1_500)
        assert done.returncode == 0, done.stdout + done.stderr
        run = place / "runs/digits/smoke"
        if whole:
            evaluated = {name: run / "07_evaluation" / name / "metrics.json" for name in stages.CANDIDATES}
            return {
                name: json.loads(file.read_text())["predictions_sha256"] for name, file in evaluated.items()
            }
        return json.loads((run / "00_warm_up/metrics.json").read_text())

    return metrics


@pytest.fixture(scope="module")
def usual(metrics_under) -> dict:
    return metrics_under({})


def test_all_settings_at_once_change_no_result(metrics_under, usual):
    assert metrics_under(SETTINGS) == usual


@pytest.mark.skipif(not os.environ.get("OSEMN_HOSTILE"), reason="takes eight minutes: set OSEMN_HOSTILE=1")
@pytest.mark.timeout(1_800)
def test_all_settings_at_once_change_no_prediction_of_the_series(metrics_under):
    assert metrics_under(SETTINGS, whole=True) == metrics_under({}, whole=True)


@pytest.mark.parametrize("name", EACH)
def test_setting_changes_no_result(name, metrics_under, usual):
    assert metrics_under({name: SETTINGS[name]}) == usual
