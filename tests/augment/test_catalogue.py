"""The SPEC grammar: what it reads, what it builds, and what it says to a mistake."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from wsjax import augment, networks
from wsjax.augment import CATALOGUE, RECOMMENDED, format_spec, from_spec, read_spec
from wsjax.symmetry import mlp, siren
from wsjax.typing import Batch

SIREN = siren((2, 4, 4, 1), w0=10.0)


def batch(key, size: int = 4) -> Batch:
    init = lambda k: networks.siren_init(k, (2, 4, 4, 1), w0=10.0)
    return Batch(jax.vmap(init)(jax.random.split(key, size)), jax.nn.one_hot(jnp.arange(size) % 3, 3))


SPECS = [
    "noise(std=0.1)",
    "rotate(max_degrees=30.0) | noise(std=0.1) | mixup(alpha=0.4)",
    "one_of(noise, flip_signs | permute) | label_smoothing(rate=0.2)",
    "with_probability(0.5, translate(max_shift=0.2))",
    "with_probability(0.25, one_of(mixup, mixup_uniform(low=0.5)))",
    RECOMMENDED,
    "",
]


@pytest.mark.parametrize("spec", SPECS)
def test_printing_and_reading_again_gives_the_same_steps(spec):
    assert read_spec(format_spec(read_spec(spec))) == read_spec(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_keeps_structure_under_jit_and_jit_agrees(spec, getkey):
    pipeline, data, key = from_spec(spec, SIREN), batch(getkey()), getkey()
    eager = pipeline(key, data)
    compiled = jax.jit(lambda t, k, b: t(k, b))(pipeline, key, data)
    assert jax.tree.map(jnp.shape, eager) == jax.tree.map(jnp.shape, data)
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_spec_is_the_pipeline_one_would_write(getkey):
    """Text and code give the same draws: a step's key is its place in the chain."""
    data, key = batch(getkey()), getkey()
    written = augment.chain(
        augment.on("weights", augment.batched(Partial(augment.noise, std=0.2))), Partial(augment.mixup, alpha=0.4)
    )
    read = from_spec("noise(std=0.2) | mixup(alpha=0.4)", SIREN)
    for a, b in zip(jax.tree.leaves(written(key, data)), jax.tree.leaves(read(key, data)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_entry_can_be_named_and_has_an_effect(getkey):
    for name, entry in CATALOGUE.items():
        changed = from_spec(name, SIREN)(getkey(), batch(getkey()))
        assert jax.tree.structure(changed) == jax.tree.structure(batch(getkey()))
        assert entry.name == name
        assert entry.level in ("network", "batch")


def test_settings_trace(getkey):
    traces = []

    @jax.jit
    def run(pipeline, key, data):
        traces.append(1)
        return pipeline(key, data)

    for std in (0.1, 0.2, 0.3):
        run(from_spec(f"noise(std={std}) | mixup(alpha={std})", SIREN), getkey(), batch(getkey()))
    assert len(traces) == 1


MISTAKES = {
    "rotat(max_degrees=3)": r"unknown augmentation in .* 'rotat'.*permute, flip_signs, .*mean 'rotate'",
    "rotate(max_degres=3)": r"no setting 'max_degres'.*max_degrees \(default 30\.0\)",
    "noise(0.1)": r"'noise\(0\.1\)' in .*name.*noise takes: std",
    "noise(std=0.1": r"cannot read the augmentation .*rotate\(max_degrees=30\) \| noise",
    "noise(std='a')": r"noise\(std='a'\) in .*expected a number",
    "noise(std=True)": r"expected a number",
    "noise(std=x)": r"'x' in noise",
    "noise(std=-1)": r"std is -1\.0; it must be one number in \[0, inf\]",
    "1 + 2": r"'1 \+ 2' in the augmentation .* is no step",
    "noise & mixup": r"is no step",
    "one_of(noise)": r"one_of in .*two steps or more",
    "with_probability(2, noise)": r"with_probability in .*: 2",
    "with_probability(0.5)": r"a number and one step",
    "__import__('os').system('true')": r"is no step",
}


@pytest.mark.parametrize("spec", MISTAKES)
def test_a_mistake_is_named_with_the_way_out(spec, untyped):
    with pytest.raises(ValueError, match=MISTAKES[spec]):
        from_spec(spec, SIREN)


def test_a_step_that_the_network_does_not_allow_is_refused_before_any_data(untyped):
    with pytest.raises(ValueError, match=r"rotate .*'in' has 3"):
        from_spec("rotate", siren((3, 4, 1)))
    with pytest.raises(ValueError, match=r"flip_signs needs a group that allows 'sign'.*relu"):
        from_spec("with_probability(0.5, flip_signs)", mlp((2, 4, 1)))
