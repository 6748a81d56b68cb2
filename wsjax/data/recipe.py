"""`Recipe`: how the networks of a data set are fitted, as one frozen record that goes to the card."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import jax
import optax
from jaxtyping import Array, Int, PyTree

from wsjax.data.optimisers import check_optimiser, factory_of, over_lanes
from wsjax.errors import check_choice, check_number, check_range, check_seed, fields_as_python
from wsjax.networks import Network
from wsjax.networks.grid import Order

Schedule: TypeAlias = Literal["cosine", "constant"]
Start: TypeAlias = Literal["independent", "shared", "given"]

NAMED = "named"
"""Where a card's recipe has its name, which is no setting."""
CHANGED = ", changed: "
"""What parts a recipe's name from the settings that were changed, in the name on a card."""
DIGESTS = ("given_sha256", "optimiser_state_sha256")
"""What a card's recipe says of the things that a recipe only names."""


@dataclass(frozen=True)
class Recipe:
    """How networks are fitted.

    network: the architecture, and the distribution of its initial weights; steps: of the optimiser, or the most where
    there is a target; learning_rate: the largest; lanes: how many networks one program fits at once: the count changes
    the last bits of the result, so it is fixed, and recorded; views: networks to each signal; seed: every key derives
    from it; schedule: of the learning rate over `steps`, a cosine down to zero or a constant; optimiser,
    optimiser_settings: any of optax's by name, or one of your own (`register_optimiser`), and its keyword arguments;
    target_psnr: dB at which a network stops, asked every `check_every` of its steps, None to make all steps; start:
    whether every network starts from weights of its own, all of one view from the same, or all from weights that are
    given; coordinate_order, value_range: what pixels of images become, as the card has it; signals have their own;
    batch_points: how many points a step looks at, drawn anew for each with replacement, None for all; name: of the
    recipe that this one began as, which is no setting: recipes that differ in it alone are equal.

    A setting out of range raises ValueError, and so does an optimiser that cannot step by the gradient alone.

    Example:
        >>> Recipe(Network("siren", (2, 8, 1)), steps=100, target_psnr=40.0).target_psnr
        40.0
    """

    network: Network
    steps: int = 300
    learning_rate: float = 1e-2
    lanes: int = 16
    views: int = 1
    seed: int = 0
    schedule: Schedule = "cosine"
    optimiser: str = "adam"
    optimiser_settings: tuple[tuple[str, float], ...] = ()
    target_psnr: float | None = None
    check_every: int = 25
    start: Start = "independent"
    coordinate_order: Order = "xy"
    value_range: tuple[float, float] = (0.0, 1.0)
    batch_points: int | None = None
    name: str = field(default="", compare=False)

    def __post_init__(self):
        fields_as_python(self)
        check_seed("seed", self.seed)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        for name in ("steps", "lanes", "views", "check_every", "batch_points"):
            if name != "batch_points" or self.batch_points is not None:
                check_number(name, getattr(self, name), low=1, whole=True)
        check_range("value_range", self.value_range)
        check_choice("schedule", self.schedule, ("cosine", "constant"))
        check_choice("start", self.start, ("independent", "shared", "given"))
        check_optimiser(self.optimiser, self.optimiser_settings, self.schedule != "constant", self.network)
        if self.target_psnr is not None and self.steps % self.check_every:
            raise ValueError(
                f"steps is {self.steps} and check_every {self.check_every}; with a target PSNR expected a whole number "
                f"of checks: make one a multiple of the other"
            )

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return {NAMED: plain.pop("name"), **plain}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Recipe":
        """The recipe of a card: `Recipe.from_json(dataset.card.recipe)`.

        Raises:
            ValueError: an optimiser of somebody's own that is not registered here.
        """
        pairs = tuple((name, value) for name, value in fields["optimiser_settings"])
        plain = {name: value for name, value in fields.items() if name not in (NAMED, *DIGESTS)}
        plain |= {"optimiser_settings": pairs, "value_range": tuple(fields["value_range"])}
        name = fields.get(NAMED, "").partition(CHANGED)[0]
        return cls(**{**plain, "network": Network.from_json(fields["network"]), "name": name})


def optimiser_of(recipe: Recipe) -> optax.GradientTransformation:
    """The recipe's optimiser with its schedule.

    Example:
        >>> momentum = Recipe(Network("siren", (2, 4, 1)), optimiser="sgd", optimiser_settings=(("momentum", 0.9),))
        >>> callable(optimiser_of(momentum).update)
        True
    """
    rate = recipe.learning_rate
    schedule = optax.cosine_decay_schedule(rate, recipe.steps) if recipe.schedule == "cosine" else rate
    return factory_of(recipe.optimiser)(schedule, **dict(recipe.optimiser_settings))


def lanes_optimiser_of(recipe: Recipe) -> optax.GradientTransformation:
    """The same for networks with a leading axis of lanes, none of which minds its neighbours."""
    return over_lanes(recipe.optimiser, optimiser_of(recipe))


def start_of(recipe: Recipe, number: Int[Array, ""], view: Int[Array, ""], given: PyTree = None) -> PyTree:
    """A network's initial weights: the key derives from the seed, its signal's number unless shared, and its view."""
    if recipe.start == "given":
        return given
    key = jax.random.key(recipe.seed)
    own = jax.random.fold_in(key, number) if recipe.start == "independent" else key
    return recipe.network.init(jax.random.fold_in(own, view))
