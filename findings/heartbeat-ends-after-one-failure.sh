#!/usr/bin/env bash
# In Optuna, one heartbeat that cannot be written ends the heartbeats of this trial, so a healthy worker is later counted
# as dead and its trial is started again.
#
# Versions: optuna 5.0.0. Seen: 2026-11-27.
# A good guess: a heartbeat that fails, for example because the database is locked for a moment, is tried again at the
#   next interval. That is what the grace period is for.
# What is true: the thread that writes heartbeats catches no error, so it ends. The training goes on. After the grace
#   period another worker sets the trial to FAIL and the retry callback queues the same parameters. The first worker's
#   result is then refused, and its Study.optimize ends with a bare AssertionError that hides the reason.
# Why it matters: on a shared SQLite file or a database that restarts, one short lock costs a training run of hours and
#   computes it twice. Set a generous timeout for the database connection, and wrap record_heartbeat in a retry.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q optuna==5.0.0
cd "$work"

cat > search.py <<'EOF'
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study():
    storage = optuna.storages.RDBStorage(
        "sqlite:///search.db",
        engine_kwargs={"connect_args": {"timeout": 0.1}},
        heartbeat_interval=1,
        grace_period=3,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=1),
    )
    return optuna.create_study(study_name="search", storage=storage, load_if_exists=True)
EOF

cat > worker.py <<'EOF'
import sqlite3
import sys
import time

from search import open_study


def objective(trial):
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    time.sleep(0.5)
    if sys.argv[1] == "locked":  # somebody else writes to the database for 1.5 s
        other = sqlite3.connect("search.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(1.5)
        other.execute("ROLLBACK")
        other.close()
    time.sleep(12)  # the training goes on, with the database free
    return rate


try:
    open_study().optimize(objective, n_trials=1)
    print("result stored")
except Exception as error:
    print(f"result refused: {type(error).__name__}")
EOF

# Runs one worker and, while it is alive, checks for stale trials as a second worker would.
watch() {
    rm -f search.db
    "$work/venv/bin/python" -c "from search import open_study; open_study()"
    "$work/venv/bin/python" worker.py "$1" >"$1.out" 2>"$1.err" &
    local worker=$!
    sleep 10
    kill -0 "$worker"  # alive
    "$work/venv/bin/python" - >"$1.states" <<'EOF'
import optuna
from search import open_study

study = open_study()
optuna.storages.fail_stale_trials(study)
print(*(trial.state.name for trial in study.trials))
EOF
    wait "$worker"
}

watch free
watch locked
echo "database free: states while the worker is alive: expected RUNNING, seen $(cat free.states); $(cat free.out)"
echo "locked for 1.5 s: states while the worker is alive: expected RUNNING, seen $(cat locked.states); $(cat locked.out)"
if [[ $(cat free.states) != RUNNING || $(cat locked.states) != "FAIL WAITING" || $(cat free.out) != "result stored" ||
    $(cat locked.out) != "result refused"* ]]; then
    echo "the behaviour has changed" >&2
    exit 1
fi
