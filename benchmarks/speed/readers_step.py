"""One training step of a reader, compiled: forward, cross-entropy, backward, Adam; the state is donated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from wsjax import models
from wsjax.data.metadata import Metadata
from wsjax.networks import Network
from wsjax.train.step import value_and_mean_gradient

CLASSES = 10
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Subject:
    """A reader by name and settings, the SIRENs that it receives, widths and batch, the dtype it computes in, and
    the number of microbatches.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    widths: tuple[int, ...] = (2, 32, 32, 1)
    batch: int = 128
    compute_dtype: str = "float32"
    microbatches: int = 1

    @property
    def network(self) -> Network:
        return Network("siren", self.widths, w0=(30.0,), offset=0.5)

    @property
    def weights(self) -> int:
        """The number of weights in a batch."""
        return self.batch * sum(int(np.prod(shape)) for shape in self.network.symmetry.shapes)

    @property
    def metadata(self) -> Metadata:
        spec = self.network.symmetry
        statistics = {name: {"mean": 0.02, "std": 0.2, "rms": 0.2} for name in spec.names}
        return Metadata("random", self.network, spec, classes=tuple(map(str, range(CLASSES))), statistics=statistics)

    def reader(self) -> Any:
        """The untrained reader."""
        return models.make(self.name, self.metadata, self.settings, key=jax.random.key(0))

    def networks(self) -> PyTree:
        """Random networks; biases too, as zeros would hide a mistake."""
        generator = np.random.default_rng(0)
        shapes = self.network.symmetry.shapes
        leaves = [generator.normal(0.0, 0.2, (self.batch, *shape)).astype(np.float32) for shape in shapes]
        return self.network.symmetry.unflatten(jax.device_put(leaves))

    @property
    def label(self) -> np.ndarray:
        return np.arange(self.batch) % CLASSES


class Steps:
    """Steps of one subject: each call takes `count` and gives the loss before each. The first call compiles.

    `memory` is what the compiled step occupies at its peak, arguments and results included; 0 before that.
    """

    def __init__(self, subject: Subject, count: int = 1):
        parameters, frozen = eqx.partition(subject.reader(), eqx.is_inexact_array)
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        self.weights, self.memory, self._count = subject.weights, 0, count
        self._compiled: Any = None
        self._batch = subject.networks(), jax.device_put(subject.label)
        rule = optax.adam(LEARNING_RATE)
        self._state = parameters, rule.init(parameters)

        def loss(parameters: PyTree, batch: tuple[PyTree, Array]) -> Array:
            weights, label = batch
            model = models.wrappers.computing_in(eqx.combine(parameters, frozen), subject.compute_dtype)
            logits = jax.vmap(model)(weights).astype(jnp.float32)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))

        def step(state: PyTree, weights: PyTree, label: Array) -> tuple[PyTree, Array]:
            parameters, moments = state
            value, gradient = value_and_mean_gradient(loss, parameters, (weights, label), subject.microbatches)
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                updates, moments = rule.update(gradient, moments, parameters)
                return (optax.apply_updates(parameters, updates), moments), value

        self._step = jax.jit(step, donate_argnums=0)

    def traced(self) -> Any:
        """The traced step, before it is compiled."""
        return jax.make_jaxpr(self._step)(self._state, *self._batch)

    def __call__(self, _: int) -> list[float]:
        if self._compiled is None:
            self._compiled = self._step.lower(self._state, *self._batch).compile()
            self.memory = occupied(self._compiled)
        losses = []
        for _ in range(self._count):
            self._state, value = self._compiled(self._state, *self._batch)
            losses.append(value)
        jax.block_until_ready(self._state)
        return [float(value) for value in losses]


def occupied(compiled: Any) -> int:
    """Bytes of a compiled program: arguments, results and what it needs between, what it reuses counted once."""
    found = compiled.memory_analysis()
    used = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return used - found.alias_size_in_bytes
