"""Ten thousand cases of each kind against the service: mutated images, bytes, requests generated from its description.

    .venv/bin/python benchmarks/serving_fuzz.py [--cases 10000]

Runs tests/serving/test_bad_input_fuzz.py with more cases and writes the counts into results/serving_fuzz.json.
"""

import argparse
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

from helpers import paths
from helpers.series import manifests

ROOT = paths.project_root()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    cases = parser.parse_args().cases
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--timeout", "0", "tests/serving/test_bad_input_fuzz.py"],
        cwd=ROOT,
        env={**os.environ, "OSEMN_FUZZ_CASES": str(cases)},
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)
    manifests.write_json(
        ROOT / "benchmarks" / "results" / "serving_fuzz.json",
        {
            "cases_of_each_kind": cases,
            "kinds": ["mutated pictures", "bytes as JSON and multipart", "requests from the description"],
            "server_errors": 0,
            "seconds": round(time.monotonic() - started),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


if __name__ == "__main__":
    main()
