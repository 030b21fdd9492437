"""Shows the progress of a long computation: one line, updated in place in a notebook, and nothing elsewhere."""

import html
from time import perf_counter

from IPython import get_ipython
from IPython.display import display

REFRESH_SECONDS = 1.0


class Progress:
    """A line such as "features: 12,800 of 20,000 images, 1,480 a second"; call it with the number that is done.

    Args:
        title: what is being computed.
        unit: what is counted, in the plural.
    """

    def __init__(self, title: str, unit: str = "images") -> None:
        self.title, self.unit = title, unit
        self.text, self.fraction = f"{title}: not begun", 0.0
        self._started = self._shown = perf_counter()
        self._done = 0
        self._handle = display(self, display_id=True) if get_ipython() is not None else None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` are computed, at most once a second and at the end.

        Args:
            done: the number computed so far.
            total: the number of all.
            note: the text to show instead of the speed.
        """
        now = perf_counter()
        if done < self._done:  # a new pass begins
            self._started = self._shown
        self._done = done
        speed = done / max(now - self._started, 1e-9)
        rate = f"{speed:,.0f} a second" if speed >= 1 or not done else f"{1 / speed:,.0f} s each"
        self.text = f"{self.title}: {done:,} of {total:,} {self.unit}, {note or rate}"
        self.fraction = done / max(total, 1)
        if self._handle is not None and (done >= total or now - self._shown >= REFRESH_SECONDS):
            self._shown = now
            self._handle.update(self)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        text = html.escape(self.text)
        return f'<progress value="{self.fraction:.4f}" max="1" aria-label="{text}"></progress> {text}'
