"""The SPEC grammar: what it reads, what it builds, and what it says to a mistake."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.helpers import compiled, touched
from wsjax import augment, networks
from wsjax.augment import (
    CATALOGUE,
    PRESETS,
    RECOMMENDED,
    Entry,
    format_spec,
    from_spec,
    needs_pool,
    needs_statistics,
    read_spec,
    statistics_of,
)
from wsjax.augment.grammar import Call
from wsjax.symmetry import mlp, siren
from wsjax.typing import Batch

SIREN = siren((2, 4, 4, 1), w0=10.0)


def batch(key, size: int = 4) -> Batch:
    init = lambda k: networks.siren_init(k, (2, 4, 4, 1), w0=10.0)
    rows = jnp.arange(size)
    return Batch(jax.vmap(init)(jax.random.split(key, size)), jax.nn.one_hot(rows % 3, 3), rows // 2)


def statistics() -> augment.Statistics:
    return statistics_of(batch(jax.random.key(3)).weights)


SPECS = [
    "noise(std=0.1)",
    "rotate(max_degrees=30.0) | noise(std=0.1) | mixup(alpha=0.4)",
    "one_of(noise, flip_signs | permute) | label_smoothing(rate=0.2)",
    "with_probability(0.5, translate(max_shift=0.2))",
    "with_probability(0.25, one_of(mixup, mixup_hard(low=0.5)))",
    'leave_out("output", "bias", noise(std=0.1) | dropout)',
    "mixup_self(noise(std=0.1) | rotate, alpha=0.4, beta=None) | mixup_self | mixup_self(one_of(noise, flip_signs))",
    "noise_shared(std=0.2) | with_probability(0.5, towards_mean | leave_out('kernel', noise_shared))",
    "recommended | mixup_aligned(group='signed', alpha=1.0)",
    RECOMMENDED,
    "",
]


@pytest.mark.parametrize("spec", SPECS)
def test_printing_and_reading_again_gives_the_same_steps(spec):
    assert read_spec(format_spec(read_spec(spec))) == read_spec(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_keeps_structure_under_jit(spec, getkey):
    data = batch(getkey())
    found = compiled(from_spec(spec, SIREN, statistics()), getkey(), data)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, data)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "aligned" not in spec])  # that one is test_laws.py's
def test_a_spec_is_what_is_compiled_of_it(spec, getkey):
    pipeline, data, key = from_spec(spec, SIREN, statistics()), batch(getkey()), getkey()
    for a, b in zip(*(jax.tree.leaves(f(key, data)) for f in (pipeline, Partial(compiled, pipeline))), strict=True):
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


def test_every_entry_can_be_named_for_networks_that_allow_it(getkey):
    """Of a SIREN and of a ReLU network with three outputs, one allows any of them."""
    relu = mlp((2, 4, 3))
    weights = jax.vmap(lambda k: networks.mlp_init(k, (2, 4, 3)))(jax.random.split(getkey(), 4))
    homes = [(SIREN, batch(getkey())), (relu, batch(getkey())._replace(weights=weights))]
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.level in ("network", "batch")
        allowed = 0
        for symmetry, data in homes:
            try:
                pipeline = from_spec(name, symmetry, statistics_of(data.weights), data)
            except ValueError:
                continue
            allowed += 1
            assert jax.tree.structure(jax.eval_shape(pipeline, getkey(), data)) == jax.tree.structure(data)
        assert allowed > 0, f"{name} is refused by both"


def test_what_an_entry_takes_besides_its_settings_is_no_setting():
    names = ("noise", "drop_neurons", "noise_shared", "mixup_self", "mixup_with", "mixup_views")
    needs = {name: CATALOGUE[name].needs for name in names}
    assert needs == {
        "noise": (),
        "drop_neurons": ("symmetry",),
        "noise_shared": ("statistics",),
        "mixup_self": ("transform",),
        "mixup_with": ("pool",),
        "mixup_views": ("pool",),
    }
    required = {name for name in names if CATALOGUE[name].required == needs[name]}
    assert required == {"noise", "drop_neurons", "noise_shared", "mixup_with"}
    assert CATALOGUE["noise_shared"].settings == {"std": 0.1}
    assert CATALOGUE["mixup_self"].settings == CATALOGUE["mixup"].settings


def test_arrays_left_out_and_steps_on_copies_are_those_one_would_write(getkey):
    data, key = batch(getkey()), getkey()
    noisy = augment.chain(Partial(augment.noise, std=0.2))  # a pipe of one step, so that one more changes no draw
    left = augment.on("weights", augment.batched(augment.leave_out(noisy, symmetry=SIREN, arrays=("input", "bias"))))
    turned = augment.chain(noisy, Partial(augment.rotate, symmetry=SIREN, max_degrees=10.0))
    written = augment.chain(left, Partial(augment.mixup_self, transform=turned, alpha=0.3))
    spec = 'leave_out("input", "bias", noise(std=0.2)) | mixup_self(noise(std=0.2) | rotate(max_degrees=10), alpha=0.3)'
    found, expected = from_spec(spec, SIREN)(key, data), written(key, data)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    assert touched(found.weights, data.weights)


def test_steps_in_units_of_the_data_set_take_its_statistics(getkey, untyped):
    for spec in ("noise_shared", "one_of(noise, permute | towards_mean)", "mixup_self(noise_shared)"):
        assert needs_statistics(spec)
        with pytest.raises(ValueError, match=r"no statistics of it; pass statistics_of\(dataset.weights\)"):
            from_spec(spec, SIREN)
    assert not needs_statistics("one_of(noise, permute) | recommended")
    data, key, known = batch(getkey()), getkey(), statistics()
    written = augment.on("weights", augment.batched(Partial(augment.towards_mean, statistics=known)))
    found, expected = from_spec("towards_mean", SIREN, known)(key, data), augment.chain(written)(key, data)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"do not have the structure of the data set's statistics"):
        from_spec("towards_mean", mlp((2, 4, 1)), known)


def test_steps_with_a_pool_draw_partners_out_of_it_and_from_nowhere_else(getkey):
    data, key = batch(getkey()), getkey()
    pool = Batch(jax.tree.map(lambda x: x[:1] + 7, data.weights), data.label[:1] - 1)
    spec = "with_probability(1, mixup_with(low=0.25, high=0.25))"
    assert needs_pool(spec)
    assert not needs_pool("recommended | mixup")
    with pytest.raises(ValueError, match=r"mixup_with draws partners out of a pool.*pass pool=Batch"):
        from_spec(spec, SIREN)
    found = from_spec(spec, SIREN, pool=pool)(key, data)
    expected = jax.tree.map(lambda x, other: 0.25 * x + 0.75 * other, data[:2], pool[:2])
    for a, b in zip(jax.tree.leaves(found[:2]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    with pytest.raises(ValueError, match=r"each row of pool.weights\[0\].kernel has shape \(2, 4\); .*\(2, 5\)"):
        from_spec(spec, siren((2, 5, 4, 1)), pool=pool)
    with pytest.raises(ValueError, match=r"structure of the batch they are mixed with"):
        from_spec(spec, mlp((2, 4, 1)), pool=pool)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_as_its_steps_and_can_be_built(name):
    steps = read_spec(name)
    assert steps == read_spec(PRESETS[name]) != ()
    assert name not in format_spec(steps)
    assert name not in CATALOGUE
    from_spec(name, SIREN)


UNIFORM = {"alpha": 1.0, "beta": None, "low": 0.0, "high": 1.0}
"""a ~ U(0, 1) of the reference code is Beta(1, 1)."""
SHIFT, TURN, NOISE = ("translate", {"max_shift": 0.25}), ("rotate", {"max_degrees": 30}), ("noise", {"std": 0.32})
ZOOM, DROP = (
    ("scale", {"max_log": 0.2}),
    ("dropout", {"rate": 0.1, "survivors": pytest.approx(1 / (1 - 0.1), rel=1e-4)}),
)
PRUNE, NEGATE = ("prune_global", {"max_quantile": 0.1}), ("flip_signs", {"probability": 0.5})
ALIGNED = ("mixup_aligned", {"group": "permutation", **UNIFORM})
PUBLISHED = {
    "dwsa_translate": [SHIFT],
    "dwsa_rotate": [TURN],
    "dwsa_noise": [NOISE],
    "dwsa_scale": [ZOOM],
    "dwsa_dropout": [DROP],
    "dwsa_prune": [PRUNE],
    "dwsa_flip_signs": [NEGATE],
    "dwsa_shift_phase": [("shift_phase", {"max_shift": 4})],
    "dwsa_label_smoothing": [("label_smoothing", {"rate": 0.1})],
    "dwsa_mixup": [("mixup", UNIFORM)],
    "dwsa_mixup_hard": [("mixup_hard", UNIFORM)],
    "dwsa_mixup_permuted": [("mixup_permuted", UNIFORM)],
    "dwsa_mixup_aligned": [ALIGNED],
    "dwsa_combination": [SHIFT, NOISE, ALIGNED, NEGATE],
    "dwsa_mixup_self": [("mixup_self", UNIFORM), ("one_of", {}), SHIFT, TURN, NOISE, ZOOM, DROP, PRUNE],
    "dwsnets": [
        *[SHIFT, ("rotate", {"max_degrees": 45}), ("noise", {"std": 0.1})],
        *[("dropout", {"rate": 0.01, "survivors": 1.0}), ZOOM],
    ],
    "dwsnets_contrastive": [("noise", {"std": 0.2}), ("dropout", {"rate": 0.5, "survivors": 1.0})],
}
"""The magnitudes in the code of arXiv 2402.04081 (dwsa) and arXiv 2301.12780 (dwsnets), each around its pipe's steps.

A factor from 0.8 to 1.2 there is `max_log` 0.2 here. Those of dwsnets with magnitude 0, rescaling and pruning, are left
out."""


def settings_in(steps: tuple[Call, ...]) -> list[tuple[str, dict]]:
    """The steps, those inside another behind it, with all that each runs at: its defaults too."""
    found = []
    for step in steps:
        found.append(
            (step.name, (CATALOGUE[step.name].settings if step.name in CATALOGUE else {}) | dict(step.settings))
        )
        for pipe in step.pipes:
            found += settings_in(pipe)
    return found


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "recommended"])
def test_a_preset_has_the_magnitudes_of_its_paper(name):
    assert settings_in(read_spec(name)) == PUBLISHED[name]


def test_a_preset_stands_among_other_steps():
    assert format_spec(read_spec("permute | one_of(recommended, dwsa_rotate) | mixup")) == format_spec(
        read_spec(f"permute | one_of({RECOMMENDED}, rotate(max_degrees=30)) | mixup")
    )


def test_text_settings_are_static_and_numbers_are_traced(getkey, monkeypatch, untyped):
    def tint(key, batch, *, kind: str = "half", amount: float | None = None):
        if kind not in ("half", "twice"):
            raise ValueError(f"unknown kind {kind!r}")
        factor = (0.5 if kind == "half" else 2.0) * (1.0 if amount is None else amount)
        return batch._replace(label=factor * batch.label)

    monkeypatch.setitem(CATALOGUE, "tint", Entry("tint", tint, "mixes", "batch", "y' = c y"))
    spec = "tint(kind='twice', amount=3.0)"
    assert format_spec(read_spec('tint(kind="twice", amount=3) | tint(amount=None)')) == f"{spec} | tint(amount=None)"
    traces = []

    @jax.jit
    def run(pipeline, key, data):
        traces.append(1)
        return pipeline(key, data).label.sum()

    data = batch(getkey())
    totals = [float(run(from_spec(f"tint(kind='twice', amount={n})", SIREN), getkey(), data)) for n in (1, 3)]
    assert (totals, len(traces)) == ([8.0, 24.0], 1)
    assert float(run(from_spec("tint(kind='half', amount=3)", SIREN), getkey(), data)) == 6.0
    assert len(traces) == 2
    for mistake, message in {
        "tint(kind=3)": r"tint\(kind=3\) in .*expected text, such as 'half'",
        "tint(amount='3')": r"tint\(amount='3'\) in .*expected a finite number",
        "tint(kind=None)": r"expected text",
        "tint(kind='third')": r"unknown kind 'third'",
    }.items():
        with pytest.raises(ValueError, match=message):
            from_spec(mistake, SIREN)


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
    "noise(std=0.1, std=0.5)": r"noise in .* has 'std' twice; give it once",
    "noise(0.1)": r"'noise\(0\.1\)' in .*name.*noise takes: std",
    "noise(std=0.1": r"cannot read the augmentation .*rotate\(max_degrees=30\) \| noise",
    "noise(std='a')": r"noise\(std='a'\) in .*expected a finite number",
    "noise(std=1e400)": r"noise\(std=inf\) in .*expected a finite number",
    "rotate |": r"near column 8",
    "noise(std=True)": r"expected a finite number",
    "noise(std=x)": r"'x' in noise",
    "noise(std=-1)": r"std is -1\.0; it must be one number in \[0, inf\]",
    "1 + 2": r"'1 \+ 2' in the augmentation .* is no step",
    "noise & mixup": r"is no step",
    "one_of(noise)": r"'one_of\(noise\)' in .*takes two steps or more",
    "with_probability(2, noise)": r"'with_probability\(2, noise\)' in .*takes a number from 0 to 1 and one step",
    "with_probability(True, noise)": r"takes a number from 0 to 1",
    "with_probability('0.5', noise)": r"takes a number from 0 to 1",
    "with_probability(0.5)": r"takes a number from 0 to 1 and one step",
    "one_of(noise, permute, weights=3)": r"one_of takes two steps or more, and no settings of its own",
    "leave_out(noise)": r"'leave_out\(noise\)' in .*takes names of arrays in quotes and one step",
    "leave_out('bias')": r"takes names of arrays in quotes and one step",
    "leave_out(0.5, noise)": r"takes names of arrays in quotes and one step",
    "leave_out(noise, 'bias')": r"in the augmentation .* is no step",
    "leave_out('outputs', noise)": r"unknown array to leave out 'outputs'.*weights\[2\]\.bias.*mean 'output'",
    "leave_out('bias', noise | mixup)": r"leave_out takes steps on single networks, and mixup works on whole batches",
    "mixup_self(noise | mixup)": r"mixup_self takes steps on single networks, and mixup works",
    "mixup_self(noise, rotate)": r"mixup_self takes: at most one pipe of steps on networks, then alpha, beta",
    "mixup_self(0.4)": r"'0\.4' in the augmentation .* is no step",
    "mixup(noise)": r"name the settings; mixup takes: alpha",
    "noise(std=None)": r"expected a finite number",
    "mixup_aligned(group='sign')": r"'sign'; the valid ones are: permutation, signed, full",
    "recommended(max_degrees=3)": r"the preset 'recommended' .*takes no settings; write its steps out: flip_signs \|",
    "recomended | noise": r"mean 'recommended'",
    "__import__('os').system('true')": r"is no step",
}


@pytest.mark.parametrize("spec", MISTAKES)
def test_a_mistake_is_named_with_the_way_out(spec, untyped):
    with pytest.raises(ValueError, match=MISTAKES[spec]):
        from_spec(spec, SIREN)


def test_a_step_that_the_network_does_not_allow_is_refused_before_any_data(untyped):
    with pytest.raises(ValueError, match=r"rotate .*'in' has size 4"):
        from_spec("rotate", siren((4, 4, 1)))
    with pytest.raises(ValueError, match=r"flip_signs needs a group that allows 'sign'.*relu"):
        from_spec("with_probability(0.5, flip_signs)", mlp((2, 4, 1)))
