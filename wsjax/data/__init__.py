"""Weight data sets: networks fitted to images and other signals, or read from files, in memory or stored in shards.

The shortest way is `fit("digits")`, `fit(images, labels, out=directory)`, `load(directory)`. Three modules hold more:
`sources` what can be fitted, `formats` the files and modules of other frameworks, `zoo` classifiers of images.
"""

from wsjax.data import formats, sources, zoo
from wsjax.data.align import align
from wsjax.data.collection import Collection
from wsjax.data.concatenate import concatenate
from wsjax.data.dataset import WeightDataset
from wsjax.data.fit import fit
from wsjax.data.fitting.recipes import recipe_named
from wsjax.data.formats import to_torch
from wsjax.data.metadata import Metadata
from wsjax.data.optimizers import register_optimizer
from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import Images, images, limit
from wsjax.data.sources.registry import load_images
from wsjax.data.sources.signals import Signals
from wsjax.data.store.lazy import StoredDataset, open_dataset
from wsjax.data.store.save_load import load, save
from wsjax.data.store.stream import stream
from wsjax.data.verify import verify
from wsjax.data.zoo.recipe import ZooRecipe

__all__ = [
    "Collection",
    "Images",
    "Metadata",
    "Recipe",
    "Signals",
    "StoredDataset",
    "WeightDataset",
    "ZooRecipe",
    "align",
    "concatenate",
    "fit",
    "formats",
    "images",
    "limit",
    "load",
    "load_images",
    "open_dataset",
    "recipe_named",
    "register_optimizer",
    "save",
    "sources",
    "stream",
    "to_torch",
    "verify",
    "zoo",
]


def __dir__() -> list[str]:
    return __all__
