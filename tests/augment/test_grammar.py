"""The SPEC grammar: what it parses, what it builds, and its errors."""

import re
from typing import Any

import chex
import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.helpers import random_weights
from wsjax import augment
from wsjax.augment import CATALOGUE, parse_batch
from wsjax.augment.grammar import Call, format_spec, needs, read_spec
from wsjax.augment.presets import PRESETS, RECOMMENDED
from wsjax.augment.register import Augmentation
from wsjax.augment.statistics import Statistics
from wsjax.symmetry import Symmetry, mlp, siren
from wsjax.typing import Batch

pytestmark = pytest.mark.usefixtures("untyped")

SIREN = siren((2, 4, 4, 1), w0=10.0)
KEY = jax.random.key(3)


def batch(spec: Symmetry = SIREN) -> Batch:
    nets = jax.tree.map(lambda *x: np.stack(x), *[random_weights(jax.random.key(i), spec) for i in range(4)])
    return Batch(nets, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], np.arange(4, dtype=np.int32) // 2)


DATA = batch()
STATISTICS = Statistics(
    jax.tree.map(lambda x: x.mean(axis=0), DATA.weights), jax.tree.map(lambda x: x.std(), DATA.weights)
)

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
    "rotate(10) | mixup_self(noise(0.1) | permute, 0.2, beta=3) | mixup_aligned('signed') | flip(0.5, -0)",
    RECOMMENDED,
    "",
]


def assert_same(found: Any, written: Any) -> None:
    """Pipelines of the same steps in the same places, so that they draw the same, and with the same settings."""
    assert jax.tree.structure(found) == jax.tree.structure(written)
    chex.assert_trees_all_equal(found, written)


def single(step: Any) -> Any:
    return augment.on("weights", augment.batched(step))


def test_printing_and_reading_again_gives_the_same_steps():
    for spec in SPECS:
        assert read_spec(format_spec(read_spec(spec))) == read_spec(spec), spec


def test_a_spec_keeps_structure_shapes_and_dtypes(monkeypatch):
    """Read from the trace that `parse_batch` makes, of two networks."""
    traced, trace = [], jax.eval_shape
    monkeypatch.setattr(jax, "eval_shape", lambda run, batch: traced.append((batch, trace(run, batch))))
    for spec in (spec for spec in SPECS if "aligned" not in spec):  # that one is test_laws.py's
        parse_batch(spec, SIREN, STATISTICS)
        chex.assert_trees_all_equal_shapes_and_dtypes(*traced[-1])
        assert jax.tree.structure(traced[-1][1]) == jax.tree.structure(DATA)


@pytest.fixture
def untraced(monkeypatch):
    """What is built is read and not run."""
    monkeypatch.setattr(jax, "eval_shape", lambda *_: None)


def test_every_entry_can_be_named(untraced):
    known = {"symmetry": SIREN, "statistics": STATISTICS, "pool": DATA}
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.level in ("network", "batch")
        atom = Partial(entry.function, **{need: known[need] for need in entry.needs if need in known})
        expected = augment.chain(single(atom) if entry.level == "network" else atom)
        assert_same(parse_batch(name, *known.values()), expected)


def test_a_spec_is_the_pipeline_one_would_write(untraced):
    """Text and code give the same draws: a step's key is its place in the chain."""
    noisy, turned = augment.noise(std=0.2), augment.rotate(SIREN, max_degrees=10.0)
    left = augment.compose.leave_out(augment.chain(noisy), symmetry=SIREN, arrays=("input", "bias"))
    mixed, known = augment.mixup(alpha=0.4), augment.towards_mean(statistics=STATISTICS)
    for spec, written in {
        "noise(std=0.2) | mixup(alpha=0.4)": augment.chain(single(noisy), mixed),
        'leave_out("input", "bias", noise(std=0.2)) | mixup_self(noise(0.2) | rotate(10), 0.3)': augment.chain(
            single(left), augment.mixup_self(transform=augment.chain(noisy, turned), alpha=0.3)
        ),
        "towards_mean": augment.chain(single(known)),
        "one_of(noise(std=0.2), mixup(alpha=0.4))": augment.chain(
            augment.one_of(augment.chain(single(noisy)), augment.chain(mixed))
        ),
        "with_probability(0.25, noise(std=0.2))": augment.chain(
            single(augment.with_probability(0.25, augment.chain(noisy)))
        ),
    }.items():
        assert_same(parse_batch(spec, SIREN, STATISTICS), written)
    step = augment.rotate(SIREN, max_degrees=10)
    with pytest.raises(AssertionError):
        assert_same(parse_batch("noise(std=0.2)", SIREN), augment.chain(single(augment.noise(std=0.1))))
    for other in (step, single(augment.chain(step, step)), augment.batched(step)):
        with pytest.raises(AssertionError):
            assert_same(parse_batch("rotate(max_degrees=10)", SIREN), augment.chain(other))


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


def test_steps_in_units_of_the_data_set_take_its_statistics(untyped):
    for spec in ("noise_shared", "one_of(noise, permute | towards_mean)", "mixup_self(noise_shared)"):
        assert "statistics" in needs(spec)
        with pytest.raises(ValueError, match=r"no statistics of it; pass \S+statistics_of\(dataset.weights\)"):
            parse_batch(spec, SIREN)
    assert needs("one_of(noise, permute) | recommended | mixup") == {"symmetry"}
    with pytest.raises(ValueError, match=r"do not have the structure of the data set's statistics"):
        parse_batch("towards_mean", mlp((2, 4, 1)), STATISTICS)


def test_steps_with_a_pool_draw_partners_out_of_it_and_from_nowhere_else(untyped):
    pool = Batch(jax.tree.map(lambda x: x[:1] + 7, DATA.weights), DATA.label[:1] - 1)
    spec = "with_probability(1, mixup_with(low=0.25, high=0.25))"
    assert "pool" in needs(spec)
    with pytest.raises(ValueError, match=r"mixup_with draws partners out of a pool.*pass pool=Batch"):
        parse_batch(spec, SIREN)
    found = jax.jit(parse_batch(spec, SIREN, pool=pool))(KEY, DATA)
    expected = jax.tree.map(lambda x, other: 0.25 * x + 0.75 * other, DATA[:2], pool[:2])
    chex.assert_trees_all_close(found[:2], expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"each row of pool.weights\[0\].kernel has shape \(2, 4\); .*\(2, 5\)"):
        parse_batch(spec, siren((2, 5, 4, 1)), pool=pool)
    with pytest.raises(ValueError, match=r"structure of the batch they are mixed with"):
        parse_batch(spec, mlp((2, 4, 1)), pool=pool)


def test_a_preset_reads_as_its_steps_and_can_be_built():
    for name in PRESETS:
        steps = read_spec(name)
        assert steps == read_spec(PRESETS[name]) != (), name
        assert name not in format_spec(steps)
        assert name not in CATALOGUE
    among = read_spec("permute | one_of(recommended, dwsa_rotate)")
    assert among == read_spec(f"permute | one_of({RECOMMENDED}, rotate(30))")
    parse_batch(format_spec(tuple(dict.fromkeys(step for name in PRESETS for step in read_spec(name)))), SIREN)


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
        defaults = CATALOGUE[step.name].settings if step.name in CATALOGUE else {}
        found.append((step.name, defaults | dict(step.settings)))
        for pipe in step.pipes:
            found += settings_in(pipe)
    return found


def test_a_preset_has_the_magnitudes_of_its_paper():
    for name in PRESETS:
        if name != "recommended":
            assert settings_in(read_spec(name)) == PUBLISHED[name], name


def test_text_settings_are_static_and_numbers_are_traced(monkeypatch, untyped):
    def tint(key, batch, *, kind: str = "half", amount: float | None = None):
        if kind not in ("half", "twice"):
            raise ValueError(f"unknown kind {kind!r}")
        factor = (0.5 if kind == "half" else 2.0) * (1.0 if amount is None else amount)
        return batch._replace(label=factor * batch.label)

    monkeypatch.setitem(CATALOGUE, "tint", Augmentation("tint", tint, "mixes", "batch", "y' = c y"))
    spec = "tint(kind='twice', amount=3.0)"
    assert format_spec(read_spec('tint(kind="twice", amount=3) | tint(amount=None)')) == f"{spec} | tint(amount=None)"
    traces = []

    @jax.jit
    def run(pipeline, key, data):
        traces.append(1)
        return pipeline(key, data).label.sum()

    totals = [float(run(parse_batch(f"tint(kind='twice', amount={n})", SIREN), KEY, DATA)) for n in (1, 3)]
    assert (totals, len(traces)) == ([8.0, 24.0], 1)
    assert float(run(parse_batch("tint(kind='half', amount=3)", SIREN), KEY, DATA)) == 6.0
    assert len(traces) == 2
    for mistake, message in {
        "tint(kind=3)": r"tint\(kind=3\) in .*expected text, such as 'half'",
        "tint(amount='3')": r"tint\(amount='3'\) in .*expected a finite number",
        "tint(kind=None)": r"expected text",
        "tint(kind='third')": r"unknown kind 'third'",
    }.items():
        with pytest.raises(ValueError, match=message):
            parse_batch(mistake, SIREN)


MISTAKES = {
    "rotat(max_degrees=3)": r"unknown augmentation 'rotat' in .*\. Did you mean 'rotate'\? All \d\d are in augment.CAT"
    r".* For one of your own, import the module .*augment.register; --import MODULE on the command line",
    "rotate(max_degres=3)": r"no setting 'max_degres'.*max_degrees \(default 30\.0\).*mean 'max_degrees'",
    "noise(std=0.1, std=0.5)": r"noise in .* has 'std' twice; give it once",
    "noise(0.1, 0.2)": r"'noise\(0\.1, 0\.2\)' in .* has too many arguments; noise takes: std",
    "noise(0.1, std=0.2)": r"noise in .* has 'std' twice; give it once",
    "permute(0.1)": r"too many arguments; permute takes: none",
    "noise(std=0.1": r"cannot read the augmentation .*rotate\(max_degrees=30\) \| noise",
    "noise(std='a')": r"noise\(std='a'\) in .*expected a finite number",
    "noise(std=1e400)": r"noise\(std=inf\) in .*expected a finite number",
    "rotate |": r"near column 8",
    "noise(std=True)": r"expected a finite number",
    "noise(std=x)": r"'x' in noise",
    "noise(std=-1)": r"std is -1\.0; it must be one number in \[0, inf\)",
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
    "mixup_self(0.4, noise)": r"'noise' in mixup_self of .* is no number",
    "mixup(noise)": r"'noise' in mixup of .* is no number",
    "mixup_aligned(0.4)": r"mixup_aligned\(group=0\.4\) in .*: expected text, such as 'full'",
    "noise(std=None)": r"expected a finite number",
    "mixup_aligned(group='sign')": r"'sign'; the valid ones are: permutation, signed, full",
    "recommended(max_degrees=3)": r"the preset 'recommended' .*takes no settings; write its steps out: flip_signs \|",
    "recomended | noise": r"mean 'recommended'",
    "__import__('os').system('true')": r"is no step",
}


def test_a_mistake_is_named_with_the_way_out(untyped):
    for spec, message in MISTAKES.items():
        with pytest.raises(ValueError) as mistake:  # noqa: PT011
            parse_batch(spec, SIREN)
        assert re.search(message, str(mistake.value)), spec


def test_a_step_that_the_network_does_not_allow_is_refused_before_any_data(untyped):
    with pytest.raises(ValueError, match=r"rotate .*'in' has size 4"):
        parse_batch("rotate", siren((4, 4, 1)))
    with pytest.raises(ValueError, match=r"flip_signs needs a group that allows 'sign'.*relu"):
        parse_batch("with_probability(0.5, flip_signs)", mlp((2, 4, 1)))


def test_texts_of_any_kind_and_size_are_read_or_refused_with_their_place():
    for spec, message in {
        "noise(std={[]: 1})": "in noise of .* is no number or quoted text",
        "noise(std=" + "9" * 400 + ")": "std",
        " | ".join(["noise"] * 3000): "the augmentation has 23997 characters; expected at most 10000",
        " | ".join(["noise"] * 1200): "nested too deeply",
        "(" * 300 + "noise" + ")" * 300: "nested too deeply|cannot read the augmentation",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_spec(spec)
