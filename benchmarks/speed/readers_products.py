"""The matrix products of a training step alone: the floor of its time."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.readers_step import Steps


class Product(NamedTuple):
    """A product of arrays of these shapes over these axes: contracted, then batched, of the left and of the right."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    axes: tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


def products(program: Any) -> Counter[Product]:
    """Every product of a traced program, and how often it is taken; loops count each of their rounds.

    Raises:
        ValueError: a loop without a fixed number of rounds that holds a product.

    Example:
        >>> body = lambda carry, _: (carry @ carry, None)
        >>> traced = jax.make_jaxpr(lambda x: jax.lax.scan(body, x, None, length=5)[0])(jnp.ones((2, 2)))
        >>> [(each.left, count) for each, count in products(traced.jaxpr).items()]
        [((2, 2), 5)]
    """
    found: Counter[Product] = Counter()
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            left, right = (variable.aval.shape for variable in equation.invars)
            found[Product(left, right, equation.params["dimension_numbers"])] += 1
        rounds = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in _programs(equation.params):
            held = products(inner)
            if held and equation.primitive.name == "while":
                raise ValueError("a loop of unknown length holds a product; expected `scan`, whose rounds are counted")
            found.update({product: rounds * count for product, count in held.items()})
    return found


def _programs(parameters: dict[str, Any]) -> Iterator[Any]:
    for value in parameters.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(each, "jaxpr", each)
            if hasattr(inner, "eqns"):
                yield inner


class Products:
    """The products of a step of `Steps`, each compiled by itself; a call takes each as often as the step does."""

    def __init__(self, steps: Steps):
        self._found = products(steps.traced().jaxpr)
        self._compiled: list[tuple[Any, tuple[jax.Array, jax.Array], int]] = []

    def __call__(self, _: int) -> None:
        if not self._compiled:
            self._compiled = [(_alone(product), _drawn(product), count) for product, count in self._found.items()]
        for multiply, arrays, count in self._compiled:
            for _ in range(count):
                multiply(*arrays).block_until_ready()


def _alone(product: Product) -> Any:
    return jax.jit(lambda left, right: jax.lax.dot_general(left, right, product.axes))


def _drawn(product: Product) -> tuple[jax.Array, jax.Array]:
    generator = np.random.default_rng(0)
    draw = lambda shape: jnp.asarray(generator.standard_normal(shape, np.float32))
    return draw(product.left), draw(product.right)
