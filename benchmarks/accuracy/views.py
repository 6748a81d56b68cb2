"""Several networks of one image: the first so many views to train on, one to choose by and to test on."""

from wsjax.data import SPLITS, WeightDataset
from wsjax.data.store.fill import with_statistics


def with_views(networks: WeightDataset, count: int) -> WeightDataset:
    """The training networks of the first `count` views under their own statistics, and the others' first view.

    So what validation and test see does not depend on the views that a reader learns from.

    Raises:
        ValueError: fewer views than that.
    """
    view, training = networks.columns["view"], networks.columns["split"] == SPLITS.index("train")
    held = int(view.max()) + 1
    if held < count:
        raise ValueError(f"{networks.card.name} has {held} views of an image; expected {count}: fit it with that many")
    if held == 1:
        return networks
    return with_statistics(networks.where(view < training * (count - 1) + 1))
