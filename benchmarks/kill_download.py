"""Kills the download of a data set from an S3 server with SIGKILL at 20 moments, and runs it again each time.

    .venv/bin/python benchmarks/kill_download.py --kills 20

The server is moto's, on this machine. Half of the downloads are of a folder of small files and a large one, half of an archive,
which is unpacked. The moments are spread evenly over the bytes that an undisturbed run writes. Writes
benchmarks/results/kill_download.json.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from botocore.session import Session

from helpers import paths
from helpers.series import manifests

sys.path.insert(0, str(paths.project_root() / "tests"))
import local_stores

SMALL, LARGE = 300, 24 * 2**20  # files of 3 KB, and the bytes of a file that takes three requests


def archive(files: dict[str, bytes]) -> bytes:
    """Return a zip of files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return stream.getvalue()


def trial(
    address: str,
    at_bytes: int,
    served: dict[str, bytes],
    files: dict[str, bytes],
    environment: dict[str, str],
) -> dict:
    """Kill once, check, run again, check again; `served` is what is downloaded, `files` the data set in it."""
    with tempfile.TemporaryDirectory() as folder:
        environment, cache = {**environment, "OSEMN_CACHE_DIR": folder}, Path(folder)
        was_killed = local_stores.killed(address, cache, at_bytes, environment)
        halves = local_stores.half_taken(cache, served) if was_killed else []
        before, inodes = (
            local_stores.size(cache),
            {path: path.stat().st_ino for path in cache.glob("images/*/files/*/*")},
        )
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", local_stores.LOCATE, address],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        result = {
            "killed": was_killed,
            "bytes_at_the_kill": before,
            "half_taken": halves,
            "resumed": done.returncode == 0 and local_stores.read(Path(done.stdout.strip())) == files,
            "complete_files_fetched_again": sum(
                path.stat().st_ino != inode for path, inode in inodes.items()
            ),
            "resume_seconds": round(time.monotonic() - started, 1),
        }
    print(result, done.stderr[-500:], flush=True)
    return result


def main() -> None:
    """Serve a folder and an archive, and kill downloads of them in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    files = {**local_stores.content(SMALL), "large/1.png": os.urandom(LARGE)}
    total = sum(map(len, files.values()))
    keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_DEFAULT_REGION": "us-east-1"}
    with local_stores.s3() as server:
        os.environ.update(keys, AWS_ENDPOINT_URL=server)
        client = Session().create_client("s3")
        client.create_bucket(Bucket="shop")
        packed = {"pets.zip": archive(files)}
        for name, data in {**{f"pets/{name}": data for name, data in files.items()}, **packed}.items():
            client.put_object(Bucket="shop", Key=name, Body=data)
        trials = []
        for number in range(arguments.kills):
            fraction, environment = (number + 0.5) / arguments.kills, dict(os.environ)
            if number % 2:  # an archive is written once packed and once unpacked
                moment = int(1.8 * fraction * total)  # the last tenth is too short to be hit
                trials.append(trial("s3://shop/pets.zip", moment, packed, files, environment))
            else:
                trials.append(trial("s3://shop/pets", int(fraction * total), files, files, environment))
    good = sum(
        one["killed"] and one["resumed"] and not one["half_taken"] and not one["complete_files_fetched_again"]
        for one in trials
    )
    print(f"{good} of {len(trials)} were killed and resumed")
    content = {"kills": len(trials), "good": good, "trials": trials}
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "kill_download.json", content)
    sys.exit(good != len(trials))


if __name__ == "__main__":
    main()
