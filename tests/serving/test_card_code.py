"""The code on the model card runs as it is printed, against a service, and all of it names the same class."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jinja2

import service_support
from helpers.export import model_card
from helpers.export.registry import Registry
from helpers.obtain.places import package_registries
from helpers.serving import service_process

PRINTED = "http://127.0.0.1:8000"


def blocks(kind: str) -> list[str]:
    """Return the code of a kind on a model card."""
    templates = jinja2.FileSystemLoader(Path(model_card.__file__).parent)
    template = jinja2.Environment(loader=templates).get_template("usage.md.j2")
    text = template.render(signature={"input": {"shape": [None, 8, 8, 1]}})
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def printed(command: list[str], folder: Path) -> str:
    options = {"cwd": folder, "env": {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}, "timeout": 60}
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout.strip()


def test_all_code_of_a_card_names_the_same_class(home: Path, tmp_path: Path) -> None:
    version = Registry("digits").current()
    for name in ("model.onnx", "manifest.json"):
        shutil.copyfile(version.folder / name, tmp_path / name)
    (tmp_path / "image.png").write_bytes(service_support.png(service_support.pixels()))
    alone, of_service = blocks("python")
    expected = printed([sys.executable, "-c", alone], tmp_path).rpartition(" ")[0]
    assert expected in json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["classes"]
    with service_process.running(service_process.serve_command("digits", "--quiet")) as service:
        code = of_service.replace(PRINTED, service.address)
        answer, confidence = printed([sys.executable, "-c", code], tmp_path).rsplit(" ", 1)
        assert answer == expected
        if shutil.which("curl"):
            [command] = blocks("sh")
            replied = printed(["sh", "-c", command.replace(PRINTED, service.address)], tmp_path)
            assert json.loads(replied)["predictions"][0]["class"] == expected
        (tmp_path / "ask.mjs").write_text(blocks("js")[0].replace(PRINTED, service.address), encoding="utf-8")
        in_node = printed([package_registries.node(), "ask.mjs"], tmp_path).rsplit(" ", 1)
        assert (in_node[0], float(in_node[1])) == (answer, float(confidence))
