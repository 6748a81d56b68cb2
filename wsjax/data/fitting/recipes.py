"""Recipes by name: those behind the published data sets, and ours."""

from collections.abc import Callable
from dataclasses import fields, replace

from wsjax.data.recipe import CHANGED, Recipe
from wsjax.data.sources.registry import SOURCES
from wsjax.errors import check_choice, listing
from wsjax.networks import Network


def _dws(channels: int) -> Recipe:
    """The DWSNets data sets: a small first layer, offset 0.5, Adam at 5e-4 up to 40 dB.

    Their description says 1,000 steps; it takes ten times as many to reach the deviations of their files
    (benchmarks/speed/recipes.py), as ten batches of pixels in each of 1,000 passes would make.
    """
    network = Network("siren", (2, 32, 32, channels), w0=(30.0,), offset=0.5, family="dws")
    return Recipe(network, 10_000, learning_rate=5e-4, schedule="constant", target_psnr=40.0, check_every=100)


def _nfn(channels: int) -> Recipe:
    """The NFN data sets: SIREN's first layer, values on [-1, 1], rows first, Adam at 5e-5."""
    network = Network("siren", (2, 32, 32, channels), w0=(30.0,), family="nfn")
    settings = {"coordinate_order": "ij", "value_range": (-1.0, 1.0)}
    return Recipe(network, 5_000, learning_rate=5e-5, schedule="constant", **settings)


def _fast(channels: int) -> Recipe:
    """Ours: SIREN's first layer, Adam at 2e-3 up to 40 dB, refilled slots."""
    network = Network("siren", (2, 32, 32, channels), w0=(30.0,), offset=0.5, family="nfn")
    return Recipe(network, 600, learning_rate=2e-3, schedule="constant", target_psnr=40.0)


def _siren(channels: int) -> Recipe:
    """SIREN's own initialization, its w0 = 30 absorbed into the stored weights, values on [-1, 1], 300 Adam steps at
    1e-3.

    Source: github.com/ITheClixs/project-siren-gap, `fitting/batched.py` and section 3 of its README, the protocol
    P-random; their networks of color images make 1,000 steps.
    """
    network = Network("siren", (2, 32, 32, channels), w0=(1.0,), family="absorbed")
    return Recipe(network, 300, learning_rate=1e-3, schedule="constant", value_range=(-1.0, 1.0))


RECIPES: dict[str, Callable[[int], Recipe]] = {"dws": _dws, "nfn": _nfn, "fast": _fast, "siren": _siren}
"""Every recipe for images by name: of the number of their channels."""


def recipe_named(name: str, channels: int = 1) -> Recipe:
    """A recipe by its name: a published one for images, or the own one of a source.

    Args:
        name: "dws", "nfn", "fast" or "siren"; or the name of a source, which gives its own.
        channels: of the images that a published recipe is for.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> recipe_named("dws", channels=3).network.widths
        (2, 32, 32, 3)
    """
    check_choice("recipe", name, (*RECIPES, *SOURCES))
    return replace(SOURCES[name].recipe if name in SOURCES else RECIPES[name](channels), name=name)


def name_in_metadata(recipe: Recipe) -> str:
    """A recipe's name, such as "dws, changed: steps", with the settings that are no longer those of that name; its own
    where it is unknown."""
    name = recipe.name
    if name not in (*RECIPES, *SOURCES):
        return name
    known = recipe_named(name, channels=recipe.network.widths[-1])
    changed = [f.name for f in fields(Recipe) if getattr(recipe, f.name) != getattr(known, f.name)]
    return f"{name}{CHANGED}{listing(changed)}" if changed else name
