"""The service beyond its capacity: overload, a hundred thousand requests, a decompression bomb, model swaps, shutdown.

    .venv/bin/python benchmarks/serving_load.py            # about five minutes; writes results/serving_load.json
    .venv/bin/python benchmarks/serving_load.py --seconds 5 --requests 5000
    .venv/bin/python benchmarks/serving_load.py --plain-app fashion_mnist      # only the comparison with peers/plain_service.py

The comparison sends with wrk, which Debian has as a package, or with `load_test` where wrk is missing. Needs a version of Fashion-MNIST in the registry (notebook 10). One worker unless stated otherwise. Real processes and real
HTTP; the sender runs beside the service on the same cores, so throughput is a lower bound.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import quick_run
from helpers import paths
from helpers.export import versions
from helpers.export.registry import Registry
from helpers.series import disk, manifests, runs
from helpers.serving import load_test, service_process
from helpers.serving.model import Served
from helpers.serving.settings import Settings

DATASET = "fashion_mnist"
RESULTS = paths.project_root() / "benchmarks" / "results" / "serving_load.json"
QUIET = service_process.serve_command(DATASET, "--quiet")


def speed(environment: dict[str, str], small: list[bytes], seconds: float) -> dict[str, Any]:
    """Return the latency of one sender beside the bare model's, and the throughput of sixteen."""
    served = Served.load(Registry(DATASET).current())
    with service_process.running(QUIET, environment) as service:
        one = load_test.load(service.port, small, connections=1, seconds=seconds)
        many = load_test.load(service.port, small, connections=16, seconds=seconds)
        parts = load_test.parts_of_a_request(served, _png_of(small[0]), Settings(), one.percentile(50), 2000)
        return {
            "seconds_to_ready": service.seconds_to_ready,
            "p50_ms_one_connection": one.percentile(50),
            "model_ms": parts["model"],
            "p50_over_model": one.percentile(50) / parts["model"],
            "parts_ms": parts,
            "requests_per_second_16": many.per_second,
            "p99_ms_16": many.percentile(99),
        }


def _png_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def beginners(environment: dict[str, str], small: list[bytes], seconds: float) -> dict[str, Any]:
    """Return the throughput beside that of endpoints that call the model, or `model.predict`, for each request."""
    naive = [*service_process.NAIVE, str(Registry(DATASET).current().folder / "model.keras"), "{port}"]
    with service_process.running(QUIET, environment) as service, service_process.running(naive) as other:
        ways = {"service": (service.port, "/v1/predict")}
        ways |= {"plain": (other.port, "/call"), "beginner": (other.port, "/predict")}
        contents = [_png_of(request) for request in small]
        rates = load_test.compare(ways, contents, connections=16, seconds=seconds, rounds=3).median()
    return {**rates, "times": rates["service"] / rates["beginner"]}


def plain_app(dataset: str, seconds: float, rounds: int = 5) -> dict[str, Any]:
    """Return the throughput beside that of a plain FastAPI app that runs the same file with ONNX Runtime, in turns."""
    version = Registry(dataset).current()
    with np.load(version.folder / versions.GOLDEN) as golden:
        contents = [_file(image) for image in golden["images"]]
    kind = "image/png" if contents[0].startswith(b"\x89PNG") else "image/jpeg"
    peer = [sys.executable, str(Path(__file__).parent / "peers" / "plain_service.py")]
    serve = service_process.serve_command(dataset, "--quiet")
    with (
        service_process.registry_of(dataset, version.name) as home,
        service_process.running(serve, {"OSEMN_OUTPUT_DIR": str(home)}) as service,
        service_process.running([*peer, str(version.folder / "model.onnx"), "{port}"]) as other,
    ):
        send = _wrk if shutil.which("wrk") else _senders
        ports = {"service": service.port, "plain": other.port}
        for port in ports.values():
            send(port, contents, kind, 4, 1.0)  # the first requests are slower
        rates = {
            str(connections): [
                {name: send(port, contents, kind, connections, seconds) for name, port in ports.items()}
                for _ in range(rounds)
            ]
            for connections in (1, 16)
        }
    times = {
        count: float(np.median([one["service"] / one["plain"] for one in of_count]))
        for count, of_count in rates.items()
    }
    sender = "wrk" if send is _wrk else "load_test"
    return {"cpu": runs.cpu_name(), "sender": sender, "seconds": seconds, "per_second": rates, "times": times}


def _file(image: np.ndarray) -> bytes:
    """Return a small image as PNG, and a photograph as JPEG, larger than the model's input, as cameras give it."""
    if len(image) <= 64:
        return load_test.png(image)
    stream, side = io.BytesIO(), 4 * len(image) // 3
    Image.fromarray(image.squeeze()).resize((side, side)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _senders(port: int, contents: list[bytes], kind: str, connections: int, seconds: float) -> float:
    requests = [load_test.post(content, kind) for content in contents]
    return load_test.load(port, requests, connections=connections, seconds=seconds).per_second


def _wrk(port: int, contents: list[bytes], kind: str, connections: int, seconds: float) -> float:
    """Return the responses per second that wrk counts; fails if one has another status than 200."""
    literals = ",".join('"' + "".join(f"\\{byte:03d}" for byte in content) + '"' for content in contents)
    script = f"""local made, at = {{}}, 0
        function init() for i, body in ipairs({{{literals}}}) do
            made[i] = wrk.format("POST", nil, {{["Content-Type"] = "{kind}"}}, body) end end
        function request() at = at % #made + 1; return made[at] end"""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", file.name]
        command = ["wrk", *options, f"http://127.0.0.1:{port}/v1/predict"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in shown:
        raise SystemExit(shown)
    return float(shown.partition("Requests/sec:")[2].split()[0])


def overload(environment: dict[str, str], large: list[bytes], seconds: float) -> dict[str, Any]:
    """Send images that go through the queue, over many more connections than it has room for."""
    with service_process.running(QUIET, environment) as service:
        calm = load_test.load(service.port, large, connections=2, seconds=3.0)
        before = service.memory_mb()
        result = load_test.load(service.port, large, connections=400, seconds=seconds)
        return {
            "capacity_per_second": calm.per_second,
            "offered_per_second": sum(result.statuses.values()) / result.seconds,
            "statuses": {str(status): count for status, count in result.statuses.items()},
            "p99_ms_of_accepted": result.percentile(99),
            "memory_before_mb": before,
            "memory_after_mb": service.memory_mb(),
        }


def endurance(environment: dict[str, str], small: list[bytes], requests: int) -> dict[str, Any]:
    """Send many requests and watch memory; the first tenth fills caches and the first drift windows."""
    with service_process.running(QUIET, environment) as service:
        sent, memory = 0, []
        while sent < requests:
            result = load_test.load(service.port, small, connections=16, seconds=5.0, warm_up=0.0)
            sent += sum(result.statuses.values())
            memory.append((sent, service.memory_mb()))
        early = next(value for count, value in memory if count >= requests / 10)
        return {
            "requests": sent,
            "memory_early_mb": early,
            "memory_end_mb": memory[-1][1],
            "growth": memory[-1][1] / early - 1,
        }


def bomb(environment: dict[str, str]) -> dict[str, Any]:
    """Send a PNG that announces 2.5 billion pixels, and a real one of 16 million."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4_000, 4_000), np.uint8)).save(stream, "PNG")
    with service_process.running(QUIET, environment) as service:
        before = service.memory_mb()
        status, _ = load_test.send(service.address, load_test.bad_inputs(b"")["50,000 × 50,000 pixels"][0])
        after = service.memory_mb()
        allowed, _ = load_test.send(service.address, stream.getvalue())
        return {"status": status, "memory_growth_mb": after - before, "largest_allowed_status": allowed}


def swaps(environment: dict[str, str], small: list[bytes]) -> dict[str, Any]:
    """Promote twenty good versions under load, with twenty damaged ones between them."""
    os.environ["OSEMN_OUTPUT_DIR"] = environment["OSEMN_OUTPUT_DIR"]
    registry = Registry(DATASET)
    first = registry.current()
    facts = {key: value for key, value in first.manifest.items() if key not in ("files", "created", "draft")}
    with tempfile.TemporaryDirectory() as folder:
        content = shutil.copytree(first.folder, Path(folder) / "version")
        (content / "manifest.json").unlink()
        second = registry.publish(content, facts)
        bad = registry.publish(content, facts)
        (bad.folder / "model.onnx").write_bytes(b"damaged")
        with service_process.running(QUIET, environment) as service:
            loads: list[load_test.Load] = []
            sender = threading.Thread(
                target=lambda: loads.append(load_test.load(service.port, small, connections=8, seconds=50.0))
            )
            sender.start()
            seen = set()
            for turn in range(20):
                (registry.folder / "current").write_text(f"{bad.name}\n", encoding="utf-8")
                time.sleep(1.2)
                registry.promote((second, first)[turn % 2].name)
                time.sleep(1.2)
                seen.add(load_test.send(service.address, _png_of(small[0]))[1]["model"]["version"])
            sender.join()
    return {
        "statuses": {str(key): value for key, value in loads[0].statuses.items()},
        "versions_seen": len(seen),
    }


def drain(environment: dict[str, str], large: list[bytes]) -> dict[str, Any]:
    """Stop the service while requests are running; count those that it accepted and did not respond to."""
    with service_process.running(QUIET, environment) as service:
        connections = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(30)]
        for number, connection in enumerate(connections):
            connection.sendall(large[number % len(large)])
        time.sleep(0.02)
        status, answers = service.stop(), []
        for connection in connections:
            with connection, contextlib.suppress(OSError):
                answers.append(
                    b"".join(iter(lambda connection=connection: connection.recv(65_536), b""))[9:12].decode()
                )
    return {
        "exit_status": status,
        "sent": len(connections),
        "answers": {text: answers.count(text) for text in set(answers)},
    }


def _save(result: dict[str, Any]) -> None:
    """Write a result; the comparison with a plain app keeps its other data sets."""
    before = disk.read_json(RESULTS)
    compared = {**before.get("plain_app", {}), **result.get("plain_app", {})}
    RESULTS.parent.mkdir(exist_ok=True)
    manifests.write_json(RESULTS, {**before, **result, "plain_app": compared})
    print(json.dumps({name: one["times"] for name, one in compared.items()}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the overload")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of the endurance run")
    parser.add_argument("--plain-app", metavar="DATASET", help="measure only the service beside a plain app")
    arguments = parser.parse_args()
    if arguments.plain_app:
        _save({"plain_app": {arguments.plain_app: plain_app(arguments.plain_app, 3.0)}})
        return
    images = quick_run.test_part(DATASET).images[:200]
    small = [load_test.post(load_test.png(image)) for image in images]
    large = [
        load_test.post(load_test.png(np.kron(image, np.ones((16, 16, 1), np.uint8)))) for image in images[:20]
    ]
    version = Registry(DATASET).current().name
    result: dict[str, Any] = {
        "version": version,
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "finished": "",
    }
    with service_process.registry_of(DATASET, version) as home:
        environment = {"OSEMN_OUTPUT_DIR": str(home)}
        parts = {
            "speed": lambda: speed(environment, small, 5.0),
            "plain_app": lambda: {DATASET: plain_app(DATASET, 3.0)},
            "beginners_way": lambda: beginners(environment, small, 5.0),
            "overload": lambda: overload(environment, large, arguments.seconds),
            "endurance": lambda: endurance(environment, small, arguments.requests),
            "bomb": lambda: bomb(environment),
            "drain": lambda: drain(environment, large),
            "swaps": lambda: swaps(environment, small),
        }
        for name, part in parts.items():
            result[name] = part()
            print(name, json.dumps(result[name]), flush=True)
    result["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    _save(result)


if __name__ == "__main__":
    main()
