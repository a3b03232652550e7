"""How a figure becomes files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG into the folder, and close it. Return the paths of both.

    The same picture is the same file.
    """
    mpl.rcParams["svg.hashsalt"] = name
    folder.mkdir(parents=True, exist_ok=True)
    png = folder / f"{name}.png"
    svg = folder / f"{name}.svg"
    figure.savefig(png, dpi=150)
    figure.savefig(svg, dpi=150, metadata={"Date": None})
    plt.close(figure)
    return [png, svg]
