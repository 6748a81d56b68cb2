"""Networks whose weights hold their w0 are fitted in SIREN's own coordinates, where the weights do not.

    stored  sin(x W' + b')         the family `absorbed`, w0 = 1
    fitted  sin(30 (x W + b))      the family `nfn`, w0 = 30;  W' = 30 W, b' = 30 b

The two compute the same function and differ as coordinates: the steps of Adam are of about one size in any, so the same
learning rate would change the stored weights' function a thirtieth as much.
"""

from dataclasses import replace

from jaxtyping import PyTree

from wsjax.data.recipe import InitializedRecipe, Recipe
from wsjax.networks.siren import ABSORBED_W0, absorb


def as_fitted(started: InitializedRecipe) -> InitializedRecipe:
    """The recipe, and the weights to start from, in the coordinates in which the optimizer makes its steps."""
    if not _absorbed(started.recipe):
        return started
    network = replace(started.recipe.network, w0=(ABSORBED_W0,), family="nfn")
    weights = None if started.weights is None else absorb(started.weights, 1 / ABSORBED_W0)
    return InitializedRecipe(replace(started.recipe, network=network), weights)


def as_stored(recipe: Recipe, weights: PyTree) -> PyTree:
    """Networks, one or stacked, that were fitted by `as_fitted(recipe)`, as weights of the recipe's own network."""
    return absorb(weights, ABSORBED_W0) if _absorbed(recipe) else weights


def _absorbed(recipe: Recipe) -> bool:
    return recipe.network.kind == "siren" and recipe.network.family == "absorbed"
