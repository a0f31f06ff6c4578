"""Names and notes of people in figures: drawn as they are, never as mathematics."""

from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = ["draw_words_plainly"]


def draw_words_plainly(figure: Figure) -> None:
    """Keep matplotlib from reading mathematics between dollar signs.

    To be called when everything is in the figure. The ticks of logarithmic axes stay
    as they are: their powers of ten are set as mathematics.
    """
    powers: set[object] = set()
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            axis.get_majorticklabels()  # makes the ticks that are drawn, with names
            if axis.get_scale() == "log":
                powers.update(axis.findobj(Text))
                powers.discard(axis.label)
    for words in figure.findobj(Text):
        if words not in powers:
            words.set_parse_math(False)
