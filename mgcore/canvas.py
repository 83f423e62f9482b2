"""A figure that is drawn again and again, and its picture as bytes: for pages that move."""

from __future__ import annotations

import base64
import gc
import io
from typing import Any

__all__ = ["Canvas"]


# What is alive after so many pictures is looked at no more: modules, fonts, a page's own objects.
_FIRST = 3


class Canvas:
    """One matplotlib figure for all states of a page.

    Its renderer stays from picture to picture, and with it the formulas that it has typeset; and
    margins are given, not sought. A new figure with a layout engine takes three times as long.

    Axes are full of cycles, which Python finds when it looks through all objects: that takes longer
    than a picture, every few pictures. So a canvas looks for them at each picture, and only among
    what is younger than its first ones, which load what all have in common.

    Parameters
    ----------
    width, height : float
        In inches of 100 pixels.
    font : float
        Size of the text in points; 16 on a figure as wide as a page is read from the last row.
    **margins : float
        left, right, bottom, top, wspace, hspace, as `Figure.subplots_adjust` takes them.

    Examples
    --------
    >>> canvas = Canvas(4, 3)
    >>> for height in (1, 2):
    ...     line = canvas.clear().subplots().plot([0, height])
    ...     picture = canvas.png()
    >>> picture[1:4]
    b'PNG'
    """

    def __init__(self, width: float, height: float, font: float = 16.0, **margins: float):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.font, self._margins = font, margins
        self._figure = Figure((width, height), dpi=100)
        self._agg = FigureCanvasAgg(self._figure)
        self._pictures = 0

    def clear(self) -> Any:
        """The figure, empty, for the next state."""
        import matplotlib as mpl

        # Axes read their fonts when they are made, and there may be other pages in this process.
        mpl.rcParams["font.size"] = self.font
        while self._figure.axes:  # which Figure.clear would make anew before it drops them
            self._figure.delaxes(self._figure.axes[-1])
        self._figure.clear()
        gc.collect()
        if self._pictures < _FIRST:
            self._pictures += 1
            gc.freeze()
        self._figure.subplots_adjust(**self._margins)
        return self._figure

    def png(self) -> bytes:
        """The figure as it is now, as the bytes of a PNG file."""
        stream = io.BytesIO()
        # Little compression: a page is served from this machine, and packing takes longer.
        self._agg.print_png(stream, pil_kwargs={"compress_level": 1})
        return stream.getvalue()

    def url(self) -> str:
        """The same as a data URL: for a picture that is shown again and again, with no file."""
        return f"data:image/png;base64,{base64.b64encode(self.png()).decode()}"
