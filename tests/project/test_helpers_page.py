"""The cheat sheet of helpers lists what the notebooks call, by the docstrings that stand there."""

import helpers_page


def test_page_is_up_to_date():
    assert helpers_page.PAGE.read_text(encoding="utf-8") == helpers_page.page(), (
        "run 'python tools/helpers_page.py'"
    )


def test_functions_classes_and_their_methods_are_found_under_any_name():
    code = """
from helpers.model import plots as drawn
from helpers.series.runs import Run
from helpers import wording

run = Run.start("x", {})
drawn.curves(wording.count(2, "image"))
run.log()
Run.start("y", {})
"""
    files = {"model/plots.py", "series/runs.py", "wording.py"}
    assert list(helpers_page.calls(code, files).items()) == [
        (("series/runs.py", "Run.start"), "Run.start('x', {})"),
        (("model/plots.py", "curves"), "drawn.curves(wording.count(2, 'image'))"),
        (("wording.py", "count"), "wording.count(2, 'image')"),
    ]


def test_a_docstring_gives_its_first_line_and_its_example():
    source = '''
class Run:
    def log(self):
        """Save metrics.

        Example:
            `run.log(
                accuracy=0.5)`
        """

def bare():
    """Have no example."""
'''
    assert helpers_page.described(source, "Run.log") == ("Save metrics.", "`run.log( accuracy=0.5)`")
    assert helpers_page.described(source, "bare") == ("Have no example.", "")
