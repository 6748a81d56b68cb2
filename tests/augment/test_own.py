"""A user's own code: Flax parameters in an optax loop, and augmentations that a SPEC names."""

import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from tests.helpers import change, random_weights, touched
from wsjax import augment, symmetry
from wsjax.augment import CATALOGUE
from wsjax.augment.grammar import format_spec, read_spec
from wsjax.typing import Batch

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(5)
SIREN = symmetry.siren((2, 4, 1))
WEIGHTS = random_weights(KEY, SIREN)
ZEROS = np.zeros(3, np.float32)


class Field(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Dense(6)(x))
        return nn.Dense(2)(x)


def test_flax_parameters_are_augmented_inside_a_jitted_optax_loop():
    """A linear layer learns a mean of kernels from their parameters; another deviation of the noise, or the same
    pipeline written as a SPEC, compiles nothing."""
    net, x = Field(), np.asarray(jax.random.normal(KEY, (9, 3)))
    init = jax.jit(jax.vmap(lambda key: net.init(key, x)["params"]))
    stacked_params = init(jax.random.split(KEY, 16))
    params = jax.tree.map(lambda leaf: leaf[0], stacked_params)
    target = np.asarray(stacked_params["Dense_0"]["kernel"]).mean(axis=(1, 2))

    spec = symmetry.dense(params, ["Dense_0", "Dense_1"], activation="tanh")
    augmentation = augment.chain(augment.permute(spec), augment.noise(std=0.05))
    assert jax.tree.leaves(augmentation) == [0.05]
    parsed = augment.parse("permute | noise(std=0.05)", spec)
    assert jax.tree.structure(parsed) == jax.tree.structure(augmentation)

    optimizer, traces = optax.adam(0.03), []

    def loss(head, batch):
        rows = jnp.concatenate([leaf.reshape(len(target), -1) for leaf in jax.tree.leaves(batch)], axis=1)
        return jnp.mean(jnp.square(rows @ head - target))

    @jax.jit
    def step(augmentation, key, head, state):
        traces.append(1)
        batch = augment.batched(augmentation)(key, stacked_params)
        value, gradient = jax.value_and_grad(loss)(head, batch)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(head, updates), state, value, batch

    head = jnp.zeros(sum(leaf.size for leaf in jax.tree.leaves(params)))
    state, values, batch = optimizer.init(head), [], stacked_params
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic mixes dtypes
        for i in range(60):
            head, state, value, batch = step(augmentation, jax.random.key(i), head, state)
            values.append(float(value))
        same = step(parsed, jax.random.key(59), head, state)[-1]
        exact = step(augment.chain(augment.permute(spec), augment.noise(std=0.0)), KEY, head, state)[-1]
    assert len(traces) == 1
    assert np.mean(values[-5:]) < 0.3 * np.mean(values[:5])
    chex.assert_trees_all_equal(same, batch)
    outputs = jax.jit(jax.vmap(lambda params: net.apply({"params": params}, x)))
    assert touched(exact, stacked_params) == {"['Dense_0']['kernel']", "['Dense_1']['kernel']"}  # biases begin at 0
    assert change(outputs(exact), outputs(stacked_params)) < 1e-5 < change(outputs(batch), outputs(stacked_params))


@pytest.fixture
def registering() -> Iterator[None]:
    """What a test registers leaves the catalogue with it."""
    with mock.patch.dict(CATALOGUE):
        yield


def my_augmentation(key, weights, *, std=0.3):
    return jax.tree.map(lambda leaf: leaf + std * jax.random.normal(key, leaf.shape), weights)


def test_an_augmentation_of_ones_own_is_named_in_a_spec(registering):
    with pytest.raises(
        ValueError, match=r"unknown augmentation 'my_augmentation' in .* import the module that registers it"
    ):
        read_spec("my_augmentation")
    mine = augment.register(my_augmentation)
    spec = "rotate(10) | my_augmentation(std=0.1)"
    assert format_spec(read_spec(spec)) == "rotate(max_degrees=10.0) | my_augmentation(std=0.1)"
    assert read_spec("my_augmentation(0.1)") == read_spec("my_augmentation(std=0.1)")
    one = augment.parse(spec, SIREN)
    written: Any = augment.chain(augment.rotate(SIREN, max_degrees=10.0), mine(std=0.1))
    assert jax.tree.structure(one) == jax.tree.structure(written)
    chex.assert_trees_all_equal(one(KEY, WEIGHTS), written(KEY, WEIGHTS))
    batch = Batch(jax.tree.map(lambda leaf: leaf[None], WEIGHTS), np.ones((1, 2), np.float32))
    many = augment.chain(*(augment.on("weights", augment.batched(step)) for step in written.args[0]))
    chex.assert_trees_all_equal(augment.parse_batch(spec, SIREN)(KEY, batch), many(KEY, batch))
    with pytest.raises(ValueError, match=r"no setting 'sdt'; it takes: std \(default 0\.3\)\. Did you mean 'std'"):
        augment.parse("my_augmentation(sdt=1)", SIREN)


def test_one_of_batches_runs_between_steps_on_networks(registering):
    @augment.register(level="batch", effect="mixes", formula="y' = c y", identity={"factor": 1.0})
    def fade_label(key, batch, *, factor=0.5):
        return batch._replace(label=factor * batch.label)

    batch = Batch(jax.tree.map(lambda leaf: leaf[None], WEIGHTS), np.ones((1, 2), np.float32))
    pipeline = augment.parse_batch("permute | fade_label(0.25) | flip_signs", SIREN)
    assert pipeline(KEY, batch).label.tolist() == [[0.25, 0.25]]
    assert augment.strength.at_strength(pipeline, 0.0)(KEY, batch).label.tolist() == [[1.0, 1.0]]
    assert jax.tree.leaves(fade_label(factor=0.25)) == [0.25]
    with pytest.raises(ValueError, match=r"fade_label.* works on whole batches"):
        augment.parse("fade_label", SIREN)


def test_strength_scales_it_as_it_was_registered_or_it_is_refused_by_name(registering):
    mine = augment.chain(
        augment.with_probability(0.5, Partial(my_augmentation, std=0.4)), augment.rotate(SIREN, max_degrees=40.0)
    )
    unknown = r"my_augmentation is no augmentation whose strength .*augment.register\(my_augmentation, identity="
    for register in (lambda: None, lambda: augment.register(my_augmentation)):
        register()
        for pipeline in (my_augmentation, mine, augment.mixup_self(transform=my_augmentation)):
            with pytest.raises(ValueError, match=unknown):
                augment.strength.at_strength(pipeline, 0.5)
    augment.register(my_augmentation, identity={"std": 0.0})
    for strength in (0.0, 0.5, 1.0):
        assert jax.tree.leaves(augment.strength.at_strength(mine, strength)) == [0.5, 0.4 * strength, 40.0 * strength]
    spec = augment.parse("rotate(10) | my_augmentation(std=0.1)", SIREN)
    assert jax.tree.leaves(augment.strength.at_strength(spec, 0.5)) == [5.0, 0.05]


def named(name: str, function=my_augmentation):
    def own(key, weights, *, std=0.3, kind="slow"):
        return function(key, weights, std=std)

    own.__name__ = name
    return own


def test_what_cannot_be_registered_is_named(registering):
    for name in ("noise", "recommended", "one_of", "leave_out"):
        with pytest.raises(ValueError, match=rf"the name '{name}' is taken in a SPEC; give the function another name"):
            augment.register(named(name))
    augment.register(my_augmentation)
    with pytest.raises(ValueError, match="'my_augmentation' is taken"):
        augment.register(named("my_augmentation"))

    def bare(key, weights, *, std):
        return weights

    wrong = {
        "the setting 'std' of bare has no default; give it one": (bare, {}),
        "identity of own has sdt=0.0; expected .*: std": (named("own"), {"identity": {"sdt": 0.0}}),
        "identity of own has kind=0.0; expected .*: std": (named("own"), {"identity": {"kind": 0.0}}),
        "identity of own has std='0'; expected numbers": (named("own"), {"identity": {"std": "0"}}),
        "own has a range for 'kind', no setting that is a number; it has: std": (
            named("own"),
            {"ranges": {"kind": (0, 1)}},
        ),
        "unknown effect 'mixed' of own; .*mean 'mixes'": (named("own"), {"effect": "mixed"}),
        "unknown level 'net' of own; .*network, batch": (named("own"), {"level": "net"}),
        r"constant\(weights, .*\) takes no key and weights; expected": (named("constant").__get__(0), {}),
        "'<lambda>' is no name that a SPEC can hold": (lambda key, weights: weights, {}),
    }
    for message, (function, settings) in wrong.items():
        with pytest.raises(ValueError, match=message):
            augment.register(function, **settings)


def test_a_factory_that_is_called_as_a_transform_says_what_it_gives(untyped):
    """Or with a setting where the Symmetry or the statistics belong, by position, or unknown."""
    wa: Any = augment
    calls = {
        r"noise\(std\) gives a transform, .* noise\(...\)\(key, weights\): too many positional": (
            lambda: wa.noise(KEY, WEIGHTS),
            lambda: wa.chain(wa.noise)(KEY, WEIGHTS),
        ),
        r"mixup\(alpha, beta, low, high\) gives a transform, .*\(key, batch\): too many": (
            lambda: wa.mixup(KEY, WEIGHTS),
        ),
        r"permute\(symmetry\) gives a transform, .*: missing a required argument: 'symmetry'": (wa.permute,),
        r"noise\(std\) gives .*unexpected keyword argument 'sdt'\. Did you mean 'std'\?": (lambda: wa.noise(sdt=0.1),),
        r"noise\(std\) gives .*: too many positional arguments; settings are named: noise\(std=...\)": (
            lambda: wa.noise(0.05),
        ),
        r"settings are named: rotate\(symmetry, max_degrees=...\)": (lambda: wa.rotate(SIREN, 10),),
        r"noise has a tuple for its key; expected a key, jax.random.key\(0\), .*: noise\(...\)\(key, weights\)": (
            lambda: wa.noise(std=0.05)(WEIGHTS, KEY),
        ),
        r"chain has a dict for its key; expected a key, jax.random.key\(0\), .*: chain\(...\)\(key, x\)": (
            lambda: wa.chain(wa.noise())({"w": ZEROS}, KEY),
            lambda: wa.chain()({"w": ZEROS}, KEY),
        ),
        r"batched has a dict for its key;": (lambda: wa.batched(wa.noise())({"w": ZEROS}, KEY),),
        r"one_of has a Array\w* for its key;": (lambda: wa.one_of(wa.noise())(jnp.zeros(3), KEY),),
        r"with_probability has a ndarray for its key;": (lambda: wa.with_probability(1, wa.noise())(ZEROS, KEY),),
        r"on has a Batch for its key;": (lambda: wa.on("weights", wa.noise())(Batch(ZEROS, None), KEY),),
        r"leave_out has a tuple for its key; .*\(key, weights\)": (
            lambda: wa.compose.leave_out(wa.noise(), symmetry=SIREN, arrays=("bias",))(WEIGHTS, KEY),
        ),
        r"a str, 'permute', stands for a transform; .* of text augment.parse\('permute', symmetry\)": (
            lambda: wa.chain("permute"),
            lambda: wa.batched("permute"),
            lambda: wa.one_of("permute", wa.noise()),
            lambda: wa.strength.at_strength("permute", 0.5),
        ),
        r"symmetry is a tuple; expected a Symmetry: dataset.symmetry, or .*symmetry.dense": (
            lambda: wa.parse("permute", WEIGHTS),
            lambda: wa.parse_batch("permute", WEIGHTS),
        ),
        "the augmentation is a Symmetry; expected text": (lambda: wa.parse(SIREN, "permute"),),
        r"rotate has a int for its symmetry, 10; expected a Symmetry: .*rotate\(symmetry, setting=value\)": (
            lambda: wa.rotate(10),
        ),
        "towards_mean has a dict for its statistics": (lambda: wa.towards_mean({}),),
    }
    for message, wrong in calls.items():
        for call in wrong:
            with pytest.raises(TypeError, match=message):
                call()


FRACTIONS = {"probability", "rate", "max_fraction", "max_quantile"}
BOUNDS = {"low", "high"}
NO_RANGE = {"axis", "group"}


def refused(name: str, setting: str, default: Any) -> tuple[str, list[float]]:
    """How the range of a setting is written, and numbers outside of it."""
    if setting in ("center", "offset") or (name == "invert" and setting in BOUNDS):
        return r"\(-inf, inf\)", [np.nan, -np.inf]
    if setting in ("alpha", "beta"):
        return r"\(0, inf\)", [0.0, -1.0, np.inf]
    if setting in FRACTIONS | BOUNDS:
        return r"\[0, 1\]", [-0.1, 1.5]
    return r"\[0, inf\)", [-1, 0.5] if isinstance(default, int) else [-1.0, np.inf]


def test_a_number_out_of_its_range_is_refused_where_it_is_bound_and_where_it_runs(registering):
    """What is traced has no number yet, and None stands for another setting."""
    statistics = augment.statistics.statistics_of(jax.tree.map(lambda leaf: leaf[None], WEIGHTS))
    known = {"symmetry": SIREN, "statistics": statistics, "pool": Batch(WEIGHTS, None)}
    for name, entry in CATALOGUE.items():
        needs = {need: known[need] for need in entry.required}
        assert entry.ranges.keys() == entry.settings.keys() - NO_RANGE, name
        assert not entry.ranges or "Raises:" in str(entry.function.__doc__), name
        for setting in entry.ranges:
            written, numbers = refused(name, setting, entry.settings[setting])
            for number in numbers:
                for call in (getattr(augment, name), functools.partial(entry.function, KEY, WEIGHTS)):
                    with pytest.raises(ValueError, match=rf"{setting} is {number}; it must be one \w+ in {written}"):
                        call(**needs, **{setting: number})
    with pytest.raises(ValueError, match=r"low is 0.75; it must be one number in \[0, 0.25\]"):
        augment.mixup(low=0.75, high=0.25)(KEY, Batch(ZEROS, None))
    count = augment.register(named("count"), ranges={"std": (0, 2)})
    for call in (lambda: count(std=3.0), lambda: CATALOGUE["count"].function(KEY, WEIGHTS, std=3.0)):
        with pytest.raises(ValueError, match=r"std is 3.0; it must be one number in \[0, 2\]"):
            call()
    assert jax.eval_shape(lambda std: count(std=std)(jax.random.PRNGKey(5), WEIGHTS), 3.0)
