#!/usr/bin/env bash
# The name of an Optuna study decides which trials its HyperbandPruner stops, despite a fixed seed.
#
# Versions: optuna 5.0.0. Seen: 2026-11-28.
# A good guess: with a seeded sampler, one process and the same objective, two studies are equal whatever they are called.
# What is true: Hyperband runs several brackets, and a trial's bracket follows from a checksum of the study's name and the
#   trial's number. Another name puts the same trial with the same parameters into another bracket, which prunes it earlier,
#   later or not at all. SuccessiveHalvingPruner, which has one bracket, does not depend on the name.
# Why it matters: a search is repeated as "tuning-2" to see whether its result holds, and differs although every seed is the
#   same; samplers that learn from the trials then diverge too. A study without a name gets a random one, so it is never
#   repeated exactly. Name the study as you would set a seed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q optuna==5.0.0

"$work/venv/bin/python" - <<'EOF'
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
BUDGET = 27


def objective(trial):
    rate = trial.suggest_float("rate", 0, 1)
    for epoch in range(1, BUDGET + 1):
        trial.report(rate * epoch / BUDGET, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return rate


def states(name, pruner):
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name=name, sampler=sampler, pruner=pruner, direction="maximize")
    study.optimize(objective, n_trials=40)
    return "".join(trial.state.name[0] for trial in study.trials)


differ = {}
for make in (optuna.pruners.HyperbandPruner, optuna.pruners.SuccessiveHalvingPruner):
    options = {"max_resource": BUDGET} if make is optuna.pruners.HyperbandPruner else {}
    first, again, other = (states(name, make(**options)) for name in ("tuning", "tuning", "tuning-2"))
    differ[make.__name__] = sum(one != two for one, two in zip(first, other))
    print(f"{make.__name__}: C complete, P pruned\n  tuning    {first}\n  tuning    {again}\n  tuning-2  {other}")
    print(f"  trials that end otherwise under the other name: expected 0, seen {differ[make.__name__]}")
    assert first == again
same = differ["HyperbandPruner"] > 0 and differ["SuccessiveHalvingPruner"] == 0
sys.exit(0 if same else "the behaviour has changed")
EOF
