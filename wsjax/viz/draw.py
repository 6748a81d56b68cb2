"""A data set drawn as what it holds."""

from pathlib import Path
from typing import Literal

from wsjax.data import WeightDataset
from wsjax.viz.fields import fields
from wsjax.viz.gallery import gallery
from wsjax.viz.style import Figure
from wsjax.viz.zoo import NEEDED, zoo


def drawn_as(dataset: WeightDataset) -> Literal["zoo", "gallery", "fields"] | None:
    """Which picture suits a data set; None where nothing is known that could be drawn.

    Args:
        dataset: of any networks.

    Example:
        `networks` is a data set of images, as `data.fit_dataset_in_memory` gives one.

        >>> from dataclasses import replace
        >>> drawn_as(networks), drawn_as(replace(networks, card=replace(networks.card, network=None)))
        ('gallery', None)
    """
    card = dataset.card
    if set(NEEDED) <= set(dataset.columns):
        return "zoo"
    if card.network is None or (card.image_shape is None and card.network.widths[0] > 3):
        return None
    return "fields" if card.image_shape is None else "gallery"


def draw(dataset: WeightDataset, path: str | Path | None = None) -> Figure:
    """Draw a data set as what it holds: a zoo by its accuracies, networks of images by the gallery of the first one,
    other functions of up to three inputs as fields.

    Args:
        dataset: networks of one architecture.
        path: where to save; None saves nothing.

    Raises:
        ValueError: networks of which nothing is known that could be drawn.

    Example:
        `networks` is a data set of images, as `data.fit_dataset_in_memory` gives one; as functions they are fields.

        >>> from dataclasses import replace
        >>> functions = replace(networks, card=replace(networks.card, image_shape=None))
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
        f"the networks of {dataset.card.name} hold no pictures that wsjax knows how to draw; expected a zoo, or a card "
        f"with a Network of up to three inputs: apply them to points and draw what they give yourself"
    )
