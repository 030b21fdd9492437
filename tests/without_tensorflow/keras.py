"""Stands in for Keras where notebooks of tests use nothing of it: `Run.start` seeds it, and the real one takes seconds."""

from types import SimpleNamespace
from unittest.mock import Mock

utils = SimpleNamespace(set_random_seed=lambda seed: None)
config = Mock(**{"backend.return_value": "tensorflow"})
