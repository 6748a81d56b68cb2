"""Random programs: what is found is confirmed, no rule fails, and planted groups are found whole."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.symmetry.infer.helpers import groups
from wsjax.symmetry.infer import infer
from wsjax.symmetry.infer.passes import analyze
from wsjax.symmetry.infer.tape import record

X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
SEEDS = st.integers(0, 2**32 - 1)
Weigh = Callable[..., Any]


def unary(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    names = ["relu", "tanh", "sin", "gelu", "abs", "square", "leaky_relu", "softmax", "silu"]
    name = names[draw.integers(len(names))]
    return (getattr(jax.nn, name, None) or getattr(jnp, name))(pool[-1])


def dense(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    return pool[-1] @ weigh(pool[-1].shape[-1], int(draw.choice([4, 6, 8, 12])))


def vector(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    own = weigh(pool[-1].shape[-1])
    return pool[-1] + own if draw.integers(2) else pool[-1] * own


def binary(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    v, others = pool[-1], [o for o in pool if o.shape == pool[-1].shape]
    o, wide = others[draw.integers(len(others))], pool[draw.integers(len(pool))]
    how = [lambda: v + o, lambda: v * o, lambda: jnp.maximum(v, o), lambda: v - o, lambda: jnp.where(v > 0, o, 0)]
    return [*how, lambda: jnp.concatenate([v, wide], -1)][draw.integers(6)]()


def layout(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    v, half = pool[-1], pool[-1].shape[-1] // 2
    if half < 2:
        return v
    pairs = v[:, : 2 * half].reshape(len(v), 2, half)
    how = [
        lambda: pairs.swapaxes(1, 2).reshape(len(v), -1),
        lambda: pairs.sum(1),
        lambda: pairs.max(1),
        lambda: pairs[:, 1],
        lambda: v[:, 1 : 1 + half],
        lambda: v[:, ::-1],
        lambda: jnp.pad(v, ((0, 0), (1, 2))),
        lambda: jnp.tile(v[:, :8], (1, 2)),
        lambda: jnp.repeat(v[:, :8], 2, -1),
        lambda: jnp.einsum("bij,bkj->bik", pairs, pairs).reshape(len(v), 4),
    ]
    return how[draw.integers(len(how))]()


def norm(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    v = pool[-1]
    how = [
        lambda: (v - v.mean(-1, keepdims=True)) * jax.lax.rsqrt(v.var(-1, keepdims=True) + 1e-3),
        lambda: v * jax.lax.rsqrt((v * v).mean(-1, keepdims=True) + 1e-3),
        lambda: v / (1 + jnp.abs(v).max(-1, keepdims=True)),
        lambda: v * jnp.linspace(0.5, 1, v.shape[-1]),
    ]
    return how[draw.integers(4)]()


def nested(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    v, a = pool[-1], weigh(pool[-1].shape[-1], pool[-1].shape[-1])
    step = lambda carry, _: (jnp.tanh(carry @ a + v), None)
    return jax.lax.scan(step, jnp.zeros_like(v), None, length=2)[0] if draw.integers(2) else v + jax.nn.relu(v @ a)


def heads(draw: np.random.Generator, weigh: Weigh, pool: list) -> Any:
    """Linear maps, gates, norms and sums of 3 heads with 4 dimensions, of each head or of all."""
    if pool[-1].ndim == 2:
        return jnp.einsum("bi,ihk->bhk", pool[-1], weigh(4, 3, 4))
    v, o = pool[-1], pool[draw.integers(1, len(pool))]
    shape, axes = ((3, 4), (1, 4), (3, 1))[draw.integers(3)], ((1,), (2,), (1, 2))[draw.integers(3)]
    how = [
        lambda: v + weigh(*shape),
        lambda: v * weigh(*shape),
        lambda: unary(draw, weigh, pool),
        lambda: jnp.einsum("bhk,hkl->bhl", v, weigh(3, 4, 4)),
        lambda: v @ weigh(4, 4),
        lambda: v + jnp.einsum("bhk,hg->bgk", v, weigh(3, 3)),
        lambda: jnp.einsum("bhk,bhk,bhl->bhl", v, o, jnp.einsum("bi,ihk->bhk", pool[0], weigh(4, 3, 4))),
        lambda: v + jnp.einsum("bhk,bgk,bgl->bhl", v, o, o),
        lambda: v - v.mean(axes, keepdims=True),
        lambda: v - v.max(axes, keepdims=True),
        lambda: v / jnp.sqrt((v * v).sum(axes, keepdims=True) + 0.1),
        lambda: v + o,
        lambda: jnp.concatenate([jnp.tanh(v[:, :1]), v[:, 1:]], 1),
    ]
    return how[draw.integers(len(how))]()


KINDS = (unary, dense, vector, binary, layout, norm, nested, dense, unary)


def program(seed: int, weights: dict[str, Any], x: Any, kinds: tuple = KINDS) -> Any:
    """A random program; `weights` are filled where they are missing, so that a first call makes them."""
    draw = np.random.default_rng(seed)
    pool = [x]

    def weigh(*shape: int) -> Any:
        name = f"w{sum(step.startswith('w') for step in used):02}"
        used.append(name)
        return jnp.asarray(
            weights.setdefault(name, np.float32(0.5 * np.random.default_rng(len(used)).normal(size=shape)))
        )

    used: list[str] = []
    for _ in range(draw.integers(4, 12)):
        v = kinds[draw.integers(len(kinds))](draw, weigh, pool)
        pool.append(v[:, :24])
    last = pool[-1].reshape(len(x), -1)
    return last @ weigh(last.shape[1], 3)


@given(SEEDS)
@example(1179)  # an axis beside itself in a product, cut into single entries
def test_what_is_found_of_a_random_program_is_confirmed(seed):
    """`infer` confirms, or raises."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        weights: dict[str, Any] = {}
        program(seed, weights, jnp.asarray(X))
        apply = lambda w, x: program(seed, dict(w), x)
        analysis = analyze(record(apply, weights, [X]))
        assert not analysis.failure
        assert not analysis.failed
        infer(apply, weights, X)


@given(SEEDS)
def test_what_is_found_of_random_heads_is_confirmed(seed):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        weights: dict[str, Any] = {}
        program(seed, weights, jnp.asarray(X), (heads,))
        infer(lambda w, x: program(seed, dict(w), x, (heads,)), weights, X)


ACTIVATIONS = {"PR": jax.nn.relu, "PS": jnp.tanh, "P": jax.nn.silu}


@given(SEEDS)
def test_planted_groups_are_found_whole(seed):
    """Layers with a known activation; some are concatenated, some added, some reshaped on their way."""
    draw = np.random.default_rng(seed)
    plan = [(int(draw.integers(3, 9)), str(draw.choice([*ACTIVATIONS])), int(draw.integers(4))) for _ in range(3)]
    weights: dict[str, Any] = {}
    expected: list[str] = []
    width, own = 4, 0
    for i, (size, letters, join) in enumerate(plan):
        weights |= {f"a{i}": (width, size), f"b{i}": (size,)}
        expected.append(f"{size} {letters}")
        if join == 1:  # beside the layer before
            width += size
        elif join == 2:  # through a second layer that adds to this one
            weights |= {f"c{i}": (size, own := size + 1), f"d{i}": (own, size)}
            expected.append(f"{own} PR")
            width = size
        else:
            width = size
    weights |= {"z": (2 * width if plan[-1][2] == 3 else width, 2)}

    def apply(w: Any, x: Any) -> Any:
        for i, (_, letters, join) in enumerate(plan):
            h = ACTIVATIONS[letters](x @ w[f"a{i}"] + w[f"b{i}"])
            if join == 2:
                h = h + jax.nn.relu(h @ w[f"c{i}"]) @ w[f"d{i}"]
            x = jnp.concatenate([x, h], 1) if join == 1 else h
        return (jnp.repeat(x, 2, 1).reshape(len(x), -1) if plan[-1][2] == 3 else x) @ w["z"]

    shapes = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in weights.items()}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = groups(infer(apply, shapes, X)).split(", ")
    if plan[-1][2] == 3:  # each neuron twice, side by side
        found.remove("2 P")
    assert sorted(found) == sorted(expected)
