"""The service needs no more than the requirements in deploy/, and the manifest matches the service."""

import re
import subprocess
import sys
from importlib import metadata

import yaml

import image_files
import service_support
from conftest import REPOSITORY, TESTS

DEPLOY = REPOSITORY / "deploy"
IMPORTED = """
import json, sys
at_start = set(sys.modules)  # what .pth files of the environment import
from starlette.testclient import TestClient
from helpers.cli import main as cli
from helpers.series import processes as parent
from helpers.serving import app, server
from helpers.serving.settings import Settings
import service_support
parent.end_with()  # as the command does
with TestClient(app.create(Settings(dataset="digits"))) as client:
    client.post("/v1/predict", content=service_support.png(service_support.pixels()), headers={"Content-Type": "image/png"})
    photo = open(sys.argv[1], "rb").read()
    assert client.post("/v1/predict", content=photo, headers={"Content-Type": "image/heic"}).status_code == 200
# None stands for modules whose import is blocked
imported = {name for name, module in sys.modules.items() if module is not None} - at_start
print(json.dumps(sorted({name.partition(".")[0] for name in imported})))
"""


def closure(names: set[str]) -> set[str]:
    """Return distributions and all their dependencies, without extras."""
    closed, pending = set(), {name.lower() for name in names}
    while pending:
        name = pending.pop()
        if name in closed:
            continue
        closed.add(name)
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        pending |= {re.match(r"[\w.-]+", line)[0].lower() for line in needed if "extra ==" not in line}
    return {name.replace("_", "-") for name in closed}


def test_service_imports_nothing_beyond_its_requirements(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    service_support.publish(tmp_path / "first", drift=True)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    photo = tmp_path / "photo.heic"
    photo.write_bytes(image_files.encoded(image_files.COLOUR, "HEIF"))
    command = [sys.executable, "-c", IMPORTED, str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = yaml.safe_load(done.stdout)
    lines = (DEPLOY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    allowed = closure({line for line in lines if not line.startswith("#")})
    # the test's own client, the package that builds its model, and what joblib imports only where it is installed
    of_tests = closure({"httpx2", "onnx", "cloudpickle", "psutil"})
    homes = metadata.packages_distributions()
    missing = {
        module: homes[module]
        for module in modules
        if module in homes
        and module not in ("helpers", "backports")  # a namespace that many share
        and not {name.lower().replace("_", "-") for name in homes[module]} & (allowed | of_tests)
    }
    assert not missing


def test_manifest_probes_the_health_routes_and_waits_for_the_drain():
    documents = {item["kind"]: item for item in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
    assert set(documents) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    from helpers.serving import server
    from helpers.serving.settings import Settings

    verb, settle = container["lifecycle"]["preStop"]["exec"]["command"]
    assert verb == "sleep"
    assert int(settle) > container["readinessProbe"]["periodSeconds"]
    assert pod["terminationGracePeriodSeconds"] > int(settle) + server.SETTLE_SECONDS + Settings().drain
    pods = documents["HorizontalPodAutoscaler"]["spec"]["maxReplicas"]
    (drift_every,) = [item["value"] for item in container["env"] if item["name"] == "DRIFT_EVERY"]
    assert float(drift_every) == pods * Settings().drift_every, "false alarms stay at the stated rate"
    assert '--drift-every "$DRIFT_EVERY"' in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    target = documents["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
    assert target == documents["Deployment"]["metadata"]["name"]


def serving_container() -> dict:
    first = next(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    (container,) = first["spec"]["template"]["spec"]["containers"]
    return container


def test_manifest_uses_the_image_that_the_dockerfile_builds_and_pulls_no_other():
    container = serving_container()
    name, _, tag = container["image"].partition(":")
    assert tag not in ("", "latest"), "nodes could not tell two builds apart"
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"-t {name}:{tag} ." in dockerfile
    assert f"docker run -p 8000:8000 {name}:{tag}" in dockerfile
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_manifest_starts_no_open_service_where_the_key_is_missing():
    (key,) = [item for item in serving_container()["env"] if item["name"] == "OSEMN_API_KEY"]
    assert not key["valueFrom"]["secretKeyRef"].get("optional", False)
