"""Images in, fitted weight data sets out: sources, fit, and a store that keeps them whole."""

from wsjax.data.align import align as align
from wsjax.data.card import Card as Card
from wsjax.data.dataset import WeightDataset as WeightDataset
from wsjax.data.download import download_images as download_images
from wsjax.data.fit import Fitted as Fitted
from wsjax.data.fit import fit_group as fit_group
from wsjax.data.fit import fit_groups as fit_groups
from wsjax.data.fit import psnr as psnr
from wsjax.data.fit_jobs import fit_weights as fit_weights
from wsjax.data.fit_store import fit_dataset as fit_dataset
from wsjax.data.fit_store import fit_dataset_in_memory as fit_dataset_in_memory
from wsjax.data.idx import read_idx as read_idx
from wsjax.data.images import SPLITS as SPLITS
from wsjax.data.images import Images as Images
from wsjax.data.images import check_images as check_images
from wsjax.data.images import limit as limit
from wsjax.data.recipe import Recipe as Recipe
from wsjax.data.recipes import RECIPES as RECIPES
from wsjax.data.recipes import recipe_named as recipe_named
from wsjax.data.refill import fit_refilled as fit_refilled
from wsjax.data.sources import SOURCES as SOURCES
from wsjax.data.sources import Source as Source
from wsjax.data.sources import default_recipe as default_recipe
from wsjax.data.sources import load_images as load_images
from wsjax.data.store import load as load
from wsjax.data.store import save as save
