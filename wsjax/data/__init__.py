"""Weight data sets: networks fitted to images and other signals, or read from files, in memory or stored in shards.

The shortest way is `fit("digits")`, `fit(images, labels, out=directory)`, `load(directory)`. Three modules hold more:
`sources` what can be fitted, `formats` the files and modules of other frameworks, `zoo` classifiers of images.
"""

from wsjax.data import formats, sources, zoo
from wsjax.data.align import align
from wsjax.data.align_within import align_within
from wsjax.data.collection import Collection, collect
from wsjax.data.concatenate import concatenate
from wsjax.data.dataset import WeightDataset
from wsjax.data.fit import fit
from wsjax.data.fitting.recipes import recipe_named
from wsjax.data.formats import to_torch
from wsjax.data.metadata import Metadata
from wsjax.data.optimizers import register_optimizer
from wsjax.data.recipe import Recipe
from wsjax.data.sources.arrays import images
from wsjax.data.sources.images import SPLITS, Images, limit
from wsjax.data.sources.registry import load_images, load_source
from wsjax.data.sources.signals import Signals
from wsjax.data.store.lazy import StoredDataset, open_dataset
from wsjax.data.store.parts import Part
from wsjax.data.store.save_load import load, save
from wsjax.data.store.stream import stream
from wsjax.data.store.write_shards import join
from wsjax.data.to_device import to_device
from wsjax.data.verify import verify
from wsjax.data.zoo.recipe import ZooRecipe

__all__ = [
    "SPLITS",
    "Collection",
    "Images",
    "Metadata",
    "Part",
    "Recipe",
    "Signals",
    "StoredDataset",
    "WeightDataset",
    "ZooRecipe",
    "align",
    "align_within",
    "collect",
    "concatenate",
    "fit",
    "formats",
    "images",
    "join",
    "limit",
    "load",
    "load_images",
    "load_source",
    "open_dataset",
    "recipe_named",
    "register_optimizer",
    "save",
    "sources",
    "stream",
    "to_device",
    "to_torch",
    "verify",
    "zoo",
]


def __dir__() -> list[str]:
    return __all__
