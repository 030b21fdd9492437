"""Stands in for TensorFlow, as `keras` beside it does for Keras."""

import logging
from unittest.mock import Mock

config = Mock()
get_logger = logging.getLogger
zeros = range
