#!/usr/bin/env bash
# In Optuna with heartbeats, a trial whose worker dies while the sampler chooses its parameters stays RUNNING for ever:
# fail_stale_trials skips trials without a first heartbeat.
#
# Versions: optuna 5.0.0. Seen: 2026-11-27.
# A good guess: Study.optimize watches a trial from its creation, so every trial of a dead worker is set to FAIL after the
#   grace period.
# What is true: the trial is stored as RUNNING, then the sampler works, and only then the heartbeat starts. If the worker
#   dies in between, there is no heartbeat, and a trial without one is never judged. (The documentation excludes only
#   ask-and-tell from heartbeats; this is Study.optimize.)
# Why it matters: samplers that fit a model of all parameters, such as GPSampler, can need seconds per trial, and jobs on
#   shared machines are often stopped without notice. A search that waits until no trial is RUNNING never ends, and the
#   retry callback is not called. Also set RUNNING trials to FAIL by their age (datetime_start).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q optuna==5.0.0
cd "$work"

cat > worker.py <<'EOF'
import os
import sys
import time
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


class StoppedInSampler(optuna.samplers.RandomSampler):
    """Stands for a worker that the scheduler stops while a slow sampler fits its model."""

    def sample_relative(self, study, trial, search_space):
        os._exit(0)


def open_study(name, sampler=None):
    storage = optuna.storages.RDBStorage("sqlite:///search.db", heartbeat_interval=1, grace_period=2)
    return optuna.create_study(study_name=name, storage=storage, sampler=sampler, load_if_exists=True)


def objective(trial):
    trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    time.sleep(1.5)  # long enough for the first heartbeat
    os._exit(0)


if __name__ == "__main__":
    where = sys.argv[1]
    open_study(where, StoppedInSampler() if where == "sampler" else None).optimize(objective, n_trials=1)
EOF

"$work/venv/bin/python" worker.py sampler
"$work/venv/bin/python" worker.py training
sleep 5
"$work/venv/bin/python" - <<'EOF'
import sys

import optuna
from worker import open_study

names = {"training": "training", "sampler": "the sampler"}
seen = {}
for where in ("training", "sampler"):
    study = open_study(where)
    optuna.storages.fail_stale_trials(study)
    seen[where] = study.trials[0].state.name
    print(f"state after the grace period, worker stopped in {names[where]}: expected FAIL, seen {seen[where]}")
sys.exit(0 if seen == {"training": "FAIL", "sampler": "RUNNING"} else "the behaviour has changed")
EOF
