"""A data set drawn as what it holds."""

from pathlib import Path
from typing import Literal

from wsjax.data import WeightDataset
from wsjax.viz.fields import fields
from wsjax.viz.gallery import gallery
from wsjax.viz.quality import NEEDED, zoo
from wsjax.viz.style import Figure


def drawn_as(dataset: WeightDataset) -> Literal["zoo", "gallery", "fields"] | None:
    """Which figure suits a data set; None for a kind that cannot be drawn."""
    metadata = dataset.metadata
    if set(NEEDED) <= set(dataset.columns):
        return "zoo"
    if metadata.network is None or (metadata.image_shape is None and metadata.network.widths[0] > 3):
        return None
    return "fields" if metadata.image_shape is None else "gallery"


def draw(dataset: WeightDataset, path: str | Path | None = None) -> Figure:
    """Draw a `dataset` as what it holds: a zoo by its accuracies, networks of images by the gallery of the first one,
    other functions of up to three inputs as fields. `path` is where to save.

    Raises:
        ValueError: networks of a kind that cannot be drawn.

    Example:
        `networks` is a data set of images, as `data.fit` gives one; as functions they are fields.

        >>> from dataclasses import replace
        >>> functions = replace(networks, metadata=replace(networks.metadata, image_shape=None))
        >>> len(draw(functions).axes)   # of some of them
        9
    """
    match drawn_as(dataset):
        case "zoo":
            return zoo(dataset, path)
        case "gallery":
            return gallery(dataset, 0, path)
        case "fields":
            return fields(dataset, path)
    raise ValueError(
        f"the networks of {dataset.metadata.name} are of no kind that wsjax can draw; expected a zoo, or metadata with "
        f"a Network of up to three inputs: apply them to points and draw what they give yourself"
    )
