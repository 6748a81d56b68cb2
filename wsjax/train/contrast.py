"""Contrastive pre-training: a reader that learns from weights without labels, by telling networks apart."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.augment import read_spec
from wsjax.data import Card, WeightDataset
from wsjax.errors import check_index, check_number, listing
from wsjax.interrupts import interrupts_held_back
from wsjax.progress import progress_of
from wsjax.train.config import Plan, Trial
from wsjax.train.contrast_step import Comparison, approach
from wsjax.train.inputs import rows_of, unlabelled
from wsjax.train.loop import check_losses, drawn
from wsjax.train.pipelines import pipelines_of
from wsjax.train.scores import read_all
from wsjax.train.state import TrainState, apart
from wsjax.train.targets import of_classes
from wsjax.typing import Reader


class Contrasted(NamedTuple):
    """Stacked states, the reader's fixed part, the history of evaluations, and the card of what was read."""

    plan: Plan
    trials: tuple[Trial, ...]
    state: TrainState
    frozen: PyTree
    history: list[dict[str, Any]]
    card: Card

    def reader(self, run: int = 0) -> Reader:
        """One run's reader with the parameters of its last step: its features are what was learned, its head projects.

        `features_of` gives the features of many networks. Raises IndexError where there is no such run.
        """
        check_index("run", run, len(self.trials))
        return eqx.combine(jax.tree.map(lambda x: x[run], self.state.parameters), self.frozen)


FIXED = {
    "trains": ("all", "the trunk is what learns"),
    "microbatches": (1, "every network of a batch is compared with all"),
    "average": (0.0, "the last step is kept"),
    "strength": ("constant", "its views are drawn alike throughout"),
}
"""Settings of a plan that do not apply, what they must be, and why."""


def contrast(
    dataset: WeightDataset,
    plan: Plan,
    trials: Sequence[Trial] = (Trial(),),
    *,
    embedding: int = 64,
    temperature: float = 0.1,
    progress: bool = True,
) -> Contrasted:
    """Pre-train one reader for each trial on networks without their labels, all side by side in one compiled program.

    Each step draws the plan's augmentation twice for a batch and moves the two views of a network together, away from
    those of the others: `z = head(features(view))`, and the loss is `nt_xent(z)`. Networks that show one object (equal
    numbers in the column "image") are neither moved together nor apart. The head is SimCLR's projection and is made
    anew for what comes after: `reader(run).features` is what to keep.

    After every `plan.evaluate_every` epochs the history has the loss, averaged since the line before, and the
    contrastive accuracy on the validation split: the share of views whose nearest in a batch of B networks is their own
    network's other view, for which chance is 1 / (2B - 1). The views of validation are always the same. The test split
    is not read here, and no label of any.

    Args:
        dataset: networks with splits; held on the device whole.
        plan: what all runs share; `augment` makes the views.
        trials: a seed and settings for each run.
        embedding: how many numbers the projection head gives.
        temperature: of the loss; small ones look at the nearest networks alone.
        progress: show a bar.

    Raises:
        ValueError: settings that do not fit the data; an empty augmentation, as both views would be the same; one that
            works on labels; batches of a single network, which have nothing to move away from; or the plan's `trains`,
            `microbatches`, `average` or `strength`, or a trial's `augment`, which do not apply.
        FloatingPointError: a loss that is not finite.

    Source: SimCLR, arXiv 2002.05709; on weights, arXiv 2301.12780, whose views are
        `PRESETS["dwsnets_contrastive"]`.

    Example:
        `networks` is a data set of 40 networks, as `data.fit_dataset_in_memory` gives one.

        >>> plan = Plan("mlp", augment="rotate(max_degrees=30)", epochs=2, evaluate_every=2, batch_size=8)
        >>> learned = contrast(networks, plan, progress=False)
        >>> features_of(learned.reader(), networks.weights).shape   # the numbers of each network, as the MLP reads them
        (40, 37)
    """
    _check(plan, dataset, embedding, temperature)
    for number, trial in enumerate(trials):
        if trial.augment is not None:
            raise ValueError(
                f"trials[{number}].augment is {trial.augment!r}; expected None: views of other strengths are told "
                f"apart more or less easily, so that scores of runs would not compare. Give the plan that augmentation"
            )
    state, frozen = drawn(dataset.card, plan, trials, embedding)
    arrays_of_frozen, static = apart(frozen)
    training, validation = (unlabelled(dataset, name) for name in ("train", "validation"))
    pipeline = pipelines_of(plan, trials, dataset.symmetry, training, classes=0).shared
    fixed = (plan, static, arrays_of_frozen, pipeline, jnp.float32(temperature))
    began, history = time.monotonic(), []
    # Inside XLA's compiler a Ctrl-C is lost or crashes the process, so it waits. The first step finds the program made.
    with interrupts_held_back():
        approach.lower(*fixed, state, training, validation).compile()
    with progress_of(total=plan.epochs, unit="epochs", desc=f"contrast {plan.reader}", disable=not progress) as bar:
        for epoch in range(plan.evaluate_every, plan.epochs + 1, plan.evaluate_every):
            state, found = jax.block_until_ready(approach(*fixed, state, training, validation))
            records = _lines(found, epoch, time.monotonic() - began, trials)
            check_losses(records, trials)
            history += records
            bar.set_postfix({"accuracy": f"{float(np.mean(found.accuracy)):.1%}"}, refresh=False)
            bar.update(plan.evaluate_every)
    return Contrasted(plan, tuple(trials), state, frozen, history, dataset.card)


def _lines(found: Comparison, epoch: int, seconds: float, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """One record a run."""
    rows = zip(trials, np.asarray(found.loss).tolist(), np.asarray(found.accuracy).tolist(), strict=True)
    return [
        {"epoch": epoch, "run": run, "seed": trial.seed, "loss": loss, "contrastive_accuracy": accuracy}
        | {"seconds": seconds}
        for run, (trial, loss, accuracy) in enumerate(rows)
    ]


def features_of(reader: Reader, weights: PyTree) -> Float[Array, "networks features"]:
    """What a reader's head sees of each of many networks, in one compiled program.

    Args:
        reader: any reader.
        weights: stacked networks.

    Example:
        >>> from wsjax.models import FlatConfig, FlatMLP, Normaliser
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 3, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> reader = FlatMLP(spec, plain, 10, FlatConfig(), key=jax.random.key(0))
        >>> features_of(reader, spec.unflatten([jnp.ones((5, *shape)) for shape in spec.shapes])).shape
        (5, 13)
    """
    return _features(reader, jax.tree.map(jnp.asarray, weights))


@eqx.filter_jit
def _features(reader: Reader, weights: PyTree) -> Array:
    # Not the bound method: a compiled function is known by what it is given.
    return read_all(lambda w: reader.features(w), weights)[0]  # type: ignore[attr-defined]


def _check(plan: Plan, dataset: WeightDataset, embedding: int, temperature: float) -> None:
    """Raise ValueError for a plan or settings that cannot make a contrastive training of a data set."""
    check_number("embedding", embedding, low=1, whole=True)
    check_number("temperature", temperature, low=0, open_low=True)
    for name, (fits, why) in FIXED.items():
        if (found := getattr(plan, name)) != fits:
            raise ValueError(f"{name} is {found!r}; expected {fits!r} of a contrastive training, as {why}")
    if not read_spec(plan.augment):
        raise ValueError(
            "augment is empty, so that both views of a network are the same; expected a SPEC that changes networks, "
            "such as 'noise(std=0.2) | dropout(rate=0.5)'"
        )
    if labelled := of_classes(plan.augment):
        raise ValueError(
            f"{listing(labelled)} in {plan.augment!r} works on labels; expected steps on weights, as a contrastive "
            f"training reads no label: leave it out"
        )
    networks = len(rows_of(dataset, "train"))
    for what, found, way_out in (
        ("batch_size", plan.batch_size, "make batches larger"),
        (f"the training split of {dataset.card.name}", networks, "have more networks in it"),
    ):
        if found < 2:
            raise ValueError(
                f"{what} is {found}; expected 2 networks at least, as a network is told apart from the others of its "
                f"batch: {way_out}"
            )
