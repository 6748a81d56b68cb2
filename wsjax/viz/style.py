"""The style of all figures: one set of colors and sizes, and places in inches.

Colors are Okabe and Ito's, distinct under every kind of color vision. Figures are drawn on `Figure` objects, never
through pyplot, so nothing is shared between them and no window opens. Widths are for a page of 9 inches.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import ArrayLike, Float

from wsjax.errors import writing

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    import matplotlib.figure

# By their names, as Matplotlib is imported by what draws: it takes half as long as all of wsjax.
Axes: TypeAlias = "matplotlib.axes.Axes"
Figure: TypeAlias = "matplotlib.figure.Figure"

INK, SOFT, FAINT = "#1b1f24", "#59636e", "#d5dae0"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PAGE = 9.0
DPI = 150
EDGE = 0.15


def figure(height: float, *, width: float = PAGE) -> Figure:
    """An empty white figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def place(page: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches, measured from the figure's top left corner."""
    wide, high = page.get_size_inches()
    return page.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def write(page: Figure, left: float, top: float, text: str, *, size: float = 8.5, color: str = INK, **kw: Any) -> None:
    """Text at a place in inches from the top left corner; `top` is where the text begins."""
    wide, high = page.get_size_inches()
    page.text(left / wide, 1 - top / high, text, size=size, color=color, **{"va": "top", **kw})


def headline(page: Figure, title: str, subtitle: str) -> None:
    """The title and one line that says how to read the figure, at the top left; 0.62 inches in all."""
    wide, high = page.get_size_inches()
    page.suptitle(title, x=EDGE / wide, y=1 - 0.12 / high, ha="left", va="top", size=12, weight="bold", color=INK)
    write(page, EDGE, 0.37, subtitle, size=8.5, color=SOFT)


def text_width(text: str, size: float, **font: Any) -> float:
    """How wide a line of text is, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size, prop=FontProperties(**font)).get_extents().width) / 72


def show_image(
    axes: Axes, image: Float[ArrayLike, "rows columns channels"], *, low: float = 0.0, high: float = 1.0
) -> None:
    """Draw an image with one square a pixel, its values clipped to [low, high]."""
    axes.imshow(shades(image, low=low, high=high), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    bare(axes)


def shades(
    image: Float[ArrayLike, "*more rows columns channels"], *, low: float = 0.0, high: float = 1.0
) -> Float[np.ndarray, "..."]:
    """An image as it is drawn, in [0, 1]: one channel without its axis, for gray; the first three of more, for color.

    Only here are values clipped to [low, high]; what lies outside is black or white.
    """
    shown = np.clip((np.asarray(image, np.float32) - low) / (high - low), 0, 1)
    return shown[..., :3] if shown.shape[-1] >= 3 else shown[..., 0]


def bare(axes: Axes) -> None:
    """No ticks, a thin frame."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)


def plain(axes: Axes) -> None:
    """Axes of a chart: no box, light grid, quiet ticks."""
    axes.set_axisbelow(True)
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.tick_params(length=0, labelsize=8, labelcolor=SOFT)
    for spine in axes.spines.values():
        spine.set_visible(False)


def chart(page: Figure, left: float, top: float, width: float, height: float, x: str = "", y: str = "") -> Axes:
    """Plain axes at a place in inches, with words for x and y."""
    axes = place(page, left, top, width, height)
    plain(axes)
    axes.set_xlabel(x, size=8.5, color=SOFT)
    axes.set_ylabel(y, size=8.5, color=SOFT)
    return axes


def percent(axis: "matplotlib.axis.Axis", decimals: int | None = None) -> None:
    """Ticks of fractions as percentages, with as many decimals as they need."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals))


def save(page: Figure, path: str | Path | None) -> Figure:
    """The figure, written to a file where a path is given; the name's ending says which kind of file."""
    if path is not None:
        with writing(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            page.savefig(path, dpi=DPI)
    return page
