"""`Recipe`: how the networks of a data set are fitted, one frozen record that goes into the metadata."""

import functools
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import jax
import optax
from jaxtyping import Array, Int, PyTree

from wsjax.data.optimizers import check_optimizer, factory_of, over_slots
from wsjax.errors import check_choice, check_number, check_range, check_seed, fields_as_python
from wsjax.networks import Network
from wsjax.networks.grid import Order

Schedule: TypeAlias = Literal["cosine", "constant"]
Initialization: TypeAlias = Literal["independent", "shared", "given"]

NAMED = "named"
"""The key under which the metadata holds the recipe's name, which is no setting."""
CHANGED = ", changed: "
"""What separates a recipe's name from the names of changed settings, in the name that the metadata holds."""
DIGESTS = ("initial_weights_sha256", "optimizer_state_sha256")
"""The keys of the SHA-256 of arrays that a recipe only names, in the recipe that the metadata holds."""


@dataclass(frozen=True)
class Recipe:
    """How networks are fitted.

    network: the architecture, and the distribution of its initial weights; steps: of the optimizer, or the most where
    there is a target; learning_rate: the largest; slots: how many networks one program fits at once: the count changes
    the last bits of the result, so it is fixed, and recorded; views: networks to each signal; seed: every key derives
    from it; schedule: of the learning rate over `steps`, a cosine down to zero or a constant; optimizer,
    optimizer_settings: any of optax's by name, or one of your own (`register_optimizer`), and its keyword arguments;
    target_psnr: dB at which a network stops, checked every `check_every` of its steps, None to make all steps;
    initialization: "independent", every network starts from weights of its own; "shared", all networks of one view
    start from the same; "given", all start from the weights of `starting_from`; coordinate_order, value_range: of the
    points and values that pixels become, as the metadata has it; signals have their own; batch_points: how many points
    a step looks at, drawn anew for each with replacement, None for all; name: of the recipe that this one began as,
    which is no setting: recipes that differ in it alone are equal.

    A setting out of range raises ValueError, and so does an optimizer that cannot step by the gradient alone.

    Example:
        >>> Recipe(Network("siren", (2, 8, 1)), steps=100, target_psnr=40.0).target_psnr
        40.0
    """

    network: Network
    steps: int = 300
    learning_rate: float = 1e-2
    slots: int = 16
    views: int = 1
    seed: int = 0
    schedule: Schedule = "cosine"
    optimizer: str = "adam"
    optimizer_settings: tuple[tuple[str, float], ...] = ()
    target_psnr: float | None = None
    check_every: int = 25
    initialization: Initialization = "independent"
    coordinate_order: Order = "xy"
    value_range: tuple[float, float] = (0.0, 1.0)
    batch_points: int | None = None
    name: str = field(default="", compare=False)

    def __post_init__(self):
        fields_as_python(self)
        check_seed("seed", self.seed)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        for name in ("steps", "slots", "views", "check_every", "batch_points"):
            if name != "batch_points" or self.batch_points is not None:
                check_number(name, getattr(self, name), low=1, integer=True)
        check_range("value_range", self.value_range)
        check_choice("schedule", self.schedule, ("cosine", "constant"))
        check_choice("initialization", self.initialization, ("independent", "shared", "given"))
        check_optimizer(self.optimizer, self.optimizer_settings, self.schedule != "constant", self.network)
        if self.target_psnr is None:
            return
        check_number("target_psnr", self.target_psnr)
        if self.steps % self.check_every:
            raise ValueError(
                f"steps is {self.steps} and check_every {self.check_every}; with a target PSNR expected an integer "
                f"of checks: make one a multiple of the other"
            )

    def starting_from(self, weights: PyTree) -> "InitializedRecipe":
        """This recipe with one network's weights, from which all start; `fit` takes it in place of a recipe.

        Raises:
            ValueError: weights of another network.

        Example:
            >>> recipe = Recipe(Network("siren", (2, 4, 1)))
            >>> recipe.starting_from(recipe.network.init(jax.random.key(0))).recipe.initialization
            'given'
        """
        self.network.symmetry.leaves(weights)
        return InitializedRecipe(replace(self, initialization="given"), weights)

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return {NAMED: plain.pop("name"), **plain}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Recipe":
        """The recipe of metadata; raises ValueError for an optimizer of somebody's own that is not registered here."""
        pairs = tuple((name, value) for name, value in fields["optimizer_settings"])
        plain = {name: value for name, value in fields.items() if name not in (NAMED, *DIGESTS)}
        plain |= {"optimizer_settings": pairs, "value_range": tuple(fields["value_range"])}
        name = fields.get(NAMED, "").partition(CHANGED)[0]
        return cls(**{**plain, "network": Network.from_json(fields["network"]), "name": name})


@functools.partial(jax.tree_util.register_dataclass, meta_fields=["recipe"], data_fields=["weights"])
@dataclass(frozen=True, eq=False)
class InitializedRecipe:
    """A recipe, static to compiled functions, and the weights that all networks start from, where they are "given"."""

    recipe: Recipe
    weights: PyTree = None


def initialized(recipe: Recipe | InitializedRecipe) -> InitializedRecipe:
    """A recipe with what its networks start from; raises ValueError for weights without "given", or "given" alone."""
    if isinstance(recipe, Recipe):
        recipe = InitializedRecipe(recipe)
    kind = recipe.recipe.initialization
    if (recipe.weights is not None) != (kind == "given"):
        what = "there are no weights" if recipe.weights is None else "there are weights to start from"
        raise ValueError(
            f"the recipe's initialization is {kind!r}, and {what}; expected recipe.starting_from(weights) for weights "
            f"of your own, and 'independent' or 'shared' without them"
        )
    return recipe


def optimizer_of(recipe: Recipe) -> optax.GradientTransformation:
    """The recipe's optimizer with its schedule."""
    rate = recipe.learning_rate
    schedule = optax.cosine_decay_schedule(rate, recipe.steps) if recipe.schedule == "cosine" else rate
    return factory_of(recipe.optimizer)(schedule, **dict(recipe.optimizer_settings))


def slots_optimizer_of(recipe: Recipe) -> optax.GradientTransformation:
    """The same for networks with a leading axis of slots, each treated by itself."""
    return over_slots(recipe.optimizer, optimizer_of(recipe))


def initial_weights(started: InitializedRecipe, number: Int[Array, ""], view: Int[Array, ""]) -> PyTree:
    """A network's initial weights: the key derives from the seed, its signal's number unless shared, and its view."""
    recipe = started.recipe
    if recipe.initialization == "given":
        return started.weights
    key = jax.random.key(recipe.seed)
    own = jax.random.fold_in(key, number) if recipe.initialization == "independent" else key
    return recipe.network.init(jax.random.fold_in(own, view))
