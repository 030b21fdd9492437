"""For `pytest --nbval-lax notebooks/`: evaluates the other candidates before the export, which reads all evaluations.

nbval runs every notebook only once, with its defaults, so 07 evaluates only one candidate.
"""

import pytest
from nbval.plugin import IPyNbCell

from helpers import paths
from helpers.series import execute, manifests, notebook_cells, stages

collect_ignore = ["solutions"]  # tests/notebooks/test_by_hand.py runs them
FIRST_READER, READ = "10_export", "07_evaluation"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run the missing evaluations before the first cell of the export."""
    if not isinstance(item, IPyNbCell) or item.path.stem != FIRST_READER or item.cell_num:
        return
    own = notebook_cells.defaults(FIRST_READER)
    for stage in stages.of_notebook(READ):
        if not (paths.stage_folder(own["dataset"], own["profile"], stage.name) / manifests.NAME).is_file():
            execute.execute(stage.name, own["dataset"], own["profile"], progress=False)
