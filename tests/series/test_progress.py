from helpers.series import progress


class Handle:
    def __init__(self):
        self.shown = []

    def update(self, line):
        self.shown.append(repr(line))


def shown_in_a_notebook(monkeypatch):
    handle = Handle()
    monkeypatch.setattr(progress, "get_ipython", lambda: object())
    monkeypatch.setattr(progress, "display", lambda line, display_id: handle)
    return handle


def test_last_state_is_shown_and_between_them_not_every_step(monkeypatch):
    handle = shown_in_a_notebook(monkeypatch)
    line = progress.Progress("features")
    for done in range(1, 1_001):
        line(done, 1_000)
    assert handle.shown[-1].startswith("features: 1,000 of 1,000 images, ")
    assert len(handle.shown) < 10


def test_nothing_is_shown_outside_a_notebook(capsys):
    progress.Progress("features")(3, 3)
    assert capsys.readouterr() == ("", "")


def test_note_takes_the_place_of_the_speed_and_text_is_escaped():
    line = progress.Progress("a < b", "steps")
    line(2, 4, "from the cache")
    assert repr(line) == "a < b: 2 of 4 steps, from the cache"
    assert "a &lt; b" in line._repr_html_()
    assert 'value="0.5000"' in line._repr_html_()


def test_speed_of_a_second_pass_is_its_own(monkeypatch):
    clock = iter([0.0, 10.0, 11.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    shown_in_a_notebook(monkeypatch)
    line = progress.Progress("features")
    line(100, 100)
    assert repr(line).endswith("100 of 100 images, 10 a second")
    line(50, 50)
    assert repr(line).endswith("50 of 50 images, 50 a second")


def test_what_takes_longer_than_a_second_is_timed_each(monkeypatch):
    clock = iter([0.0, 30.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    line = progress.Progress("search", "trials")
    line(3, 10)
    assert repr(line).endswith("3 of 10 trials, 10 s each")
