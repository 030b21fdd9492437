"""The Optuna study that workers share, and what it searches."""
