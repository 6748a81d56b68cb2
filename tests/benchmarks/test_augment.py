"""The suite `augment` at a toy size: both sides do the same work. Nothing here asserts a time."""

import functools
import random
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.speed import augment, augment_step, augment_subjects, harness
from benchmarks.torch import augment as torch_augment
from benchmarks.torch import loop as torch_loop
from tests.augment.helpers import NOTHING
from tests.benchmarks.reports import checked_report
from wsjax.augment import CATALOGUE, inputs, outputs
from wsjax.networks import Network

TOY = augment.Size(
    names=("scale", "mixup"),
    batch=16,
    rounds=2,
    draws=64,
    growing=("pipeline",),
    on_cnn=("permute",),
    widths=((8, 4),),
    batches=(1,),
    channels=(2,),
    steps=augment_step.Steps(batch=8, count=2, within=()),
)
MIXING = {"alpha": 1.0, "beta": None, "low": 0.25, "high": 0.25}


@pytest.fixture
def subject():
    return augment_subjects.networks_of(Network("siren", (2, 4, 3, 3), w0=(9.0, 6.0)), 4)


@pytest.fixture
def arrays(subject):
    return torch_loop.tensors([np.asarray(leaf[0]) for leaf in jax.tree.leaves(subject.batch.weights)])


def one(subject):
    """The first network as wsjax has it."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], subject.batch.weights)


def same(found, expected):
    for a, b in zip(found, jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_every_entry_has_its_pytorch_side_with_the_same_settings(subject):
    assert set(augment.NAMES) == set(CATALOGUE) - {*augment.OTHERS}
    for name in augment.NAMES:
        given = functools.partial(augment_subjects.torch_side(name, {}, subject)).keywords
        assert CATALOGUE[name].settings.items() <= given.items(), name


DETERMINISTIC = {
    "flip_signs": {"probability": 1.0},
    "flip": {"probability": 1.0, "axis": None},
    "invert": {"probability": 1.0, "low": 0.1, "high": 0.9, "offset": 0.5},
    "dropout": {"rate": 1.0, "survivors": 1.0},
    "drop_neurons": {"rate": 1.0},
}
BOUND = {
    "shift_phase": {"w0": (9.0, 6.0)},
    "shift_turns": {"w0": (9.0, 6.0)},
    "contrast": {"center": 0.5, "offset": 0.5},
    "invert": {"low": 0.0, "high": 1.0, "offset": 0.0},
    "noise_shared": {"deviation": [1.0] * 6},
    "flip": {"axis": None},
}
"""What PyTorch's functions need besides their strength, as they have no defaults."""
OF_ONE_NETWORK = [n for n in NOTHING if CATALOGUE[n].level != "batch" and n not in ("towards_mean", "mix_basis")]


def test_where_nothing_is_drawn_both_sides_give_the_same(subject, arrays):
    def ours(key, weights):
        needs = lambda name: {"symmetry": subject.symmetry} if "symmetry" in CATALOGUE[name].needs else {}
        return {n: CATALOGUE[n].function(key, weights, **needs(n), **settings) for n, settings in DETERMINISTIC.items()}

    for name, expected in jax.jit(ours)(jax.random.key(0), one(subject)).items():
        same(getattr(torch_augment, name)(arrays, **DETERMINISTIC[name]), expected)


def test_zero_strength_is_the_identity(subject, arrays):
    for name in OF_ONE_NETWORK:
        same(getattr(torch_augment, name)(arrays, **NOTHING[name], **BOUND.get(name, {})), one(subject))


def drawing(monkeypatch, value):
    """Every single number that PyTorch's side draws uniformly is this one."""
    monkeypatch.setattr(random, "uniform", lambda low, high: value)


def test_a_fixed_draw_gives_what_the_deterministic_twin_gives(subject, arrays, monkeypatch):
    gain, faded = np.exp(0.2), 0.8 * np.eye(3) + 0.2 * np.array([[0.299], [0.587], [0.114]]) * np.ones((1, 3))

    def twins(weights):
        affine = lambda matrix: inputs.affine(weights, symmetry=subject.symmetry, matrix=matrix)
        output = lambda **map_: outputs.output_affine(weights, symmetry=subject.symmetry, **map_)
        stretched = output(matrix=gain, shift=(1 - gain) * 0.5, offset=0.25)
        return affine(inputs.rotation(np.deg2rad(30.0))), affine(gain * np.eye(2)), stretched, output(matrix=faded)

    turned, scaled, stretched, gray = jax.jit(twins)(one(subject))
    drawing(monkeypatch, 30.0)
    same(torch_augment.rotate(arrays, max_degrees=45.0), turned)
    drawing(monkeypatch, 0.2)
    same(torch_augment.scale(arrays, max_log=1.0), scaled)
    same(torch_augment.contrast(arrays, max_log=1.0, center=0.5, offset=0.25), stretched)
    same(torch_augment.gray(arrays, max_fraction=1.0), gray)


def test_pruning_removes_the_fraction_that_was_drawn(arrays, monkeypatch):
    drawing(monkeypatch, 0.5)
    assert [int((w == 0).sum()) for w in torch_augment.prune(arrays, max_quantile=1.0)] == [4, 2, 6, 1, 4, 1]
    every = np.concatenate([w.numpy().ravel() for w in torch_augment.prune_global(arrays, max_quantile=1.0)])
    before = np.abs(np.concatenate([w.numpy().ravel() for w in arrays]))
    assert (every == 0).sum() == len(every) // 2
    assert before[every == 0].max() < before[every != 0].min()


def test_mixing_takes_the_coefficient_and_the_partner_it_should(subject):
    networks = [
        torch_loop.tensors([np.asarray(leaf[i]) for leaf in jax.tree.leaves(subject.batch.weights)]) for i in range(4)
    ]
    pool = augment_subjects.torch_pool(networks, subject.batch)
    assert (pool.mates[0], pool.views[0]) == ([0, 1], [0, 2])
    for name, partner in {"mixup_within_class": 1, "mixup_views": 2}.items():
        mixed, label = getattr(torch_augment, name)(pool, 0, **MIXING)
        same(mixed, [0.25 * a + 0.75 * b for a, b in zip(networks[0], networks[partner], strict=True)])
        same([label], [0.25 * pool.labels[0] + 0.75 * pool.labels[partner]])
    assert torch_augment.label_smoothing(pool, 0, rate=0.5)[1].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", augment.NAMES)
def test_what_comes_in_is_never_written_to(name, monkeypatch):
    given, made = [], torch_loop.tensors

    def recorded(leaves):
        given.extend(found := made(leaves))
        return found

    monkeypatch.setattr(torch_loop, "tensors", recorded)
    both = augment_subjects.pair(name, augment_subjects.subject_of(name, 8))
    before = [tensor.clone() for tensor in given]
    augment_subjects.seed(0)
    for i in range(8):
        both.theirs(i)
    assert all(torch.equal(tensor, earlier) for tensor, earlier in zip(given, before, strict=True))


def test_a_permuted_convolutional_network_computes_the_same():
    subject = augment_subjects.cnn(2)
    mine, theirs = augment_subjects.draws(augment_subjects.pair("permute", subject), subject, 4)
    np.testing.assert_allclose(theirs[:, -10:], mine[:, -10:], atol=1e-5)
    assert not np.array_equal(theirs, mine)


@pytest.mark.parametrize("name", ["shift_phase", "mixup_permuted"])
def test_both_sides_draw_from_one_distribution(name):
    subject = augment_subjects.subject_of(name, 32)
    both = augment_subjects.draws(augment_subjects.pair(name, subject), subject, 128)
    assert augment_subjects.check_same(name, *both) < augment_subjects.LIMIT


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("flip_signs", lambda arrays, *, probability: [arrays[0], -arrays[1], *arrays[2:]]),
        (
            "noise",
            lambda arrays, *, std: [w + std * w.std(correction=0) for w in arrays],
        ),  # one and the same for every entry
        ("scale", lambda arrays, *, max_log: [arrays[0] * (1 + max_log), *arrays[1:]]),
        ("rotate", lambda arrays, *, max_degrees: [arrays[0] * float("nan"), *arrays[1:]]),
    ],
)
def test_a_wrong_pytorch_function_makes_the_comparison_void(name, wrong, monkeypatch):
    monkeypatch.setattr(torch_augment, name, wrong)
    subject = augment_subjects.subject_of(name, 32)
    with pytest.raises(ValueError, match=rf"{name} of wsjax and of PyTorch differ by .*: they do not do the same work"):
        augment_subjects.check_same(name, *augment_subjects.draws(augment_subjects.pair(name, subject), subject, 128))


@pytest.mark.slow
def test_a_toy_run_gives_the_promised_rows_in_a_valid_report():
    rows, timings, notes = augment.contest(TOY, load=0.0)
    report = checked_report("augment", rows, timings, notes)
    assert [row["name"].removeprefix("augment/") for row in report["rows"]] == [
        *("pipeline/b16", "scale/b16", "mixup/b16", "pipeline/h8_b4", "permute/cnn_b16", "pipeline/b1"),
        *("scale/torch_vs_mark", "mixup/torch_vs_mark", "mixup/vs_floor"),
        *("pipeline_share_of_step/channels_2", "pipeline_mixup_share_of_step/channels_2"),
    ]
    assert any("standard errors" in note for note in notes)


def test_a_floor_is_measured_in_the_rounds_of_what_stands_on_it(monkeypatch):
    """Sample by sample, so that a slow moment of the machine hits both."""
    together, rng = [], np.random.default_rng(0)

    def measured(those, rounds):
        together.append(those)
        return {c.name: harness.Timing(0.0, rng.uniform(1, 2, rounds), [], 1.0) for c in those}

    monkeypatch.setattr(harness, "measure", measured)
    monkeypatch.setattr(augment, "draws", lambda *_: ())
    monkeypatch.setattr(augment, "check_same", lambda _: 0.0)
    size = replace(TOY, names=("noise",), growing=(), on_cnn=(), channels=())
    rows, timings, _ = augment.contest(size, load=0.0)
    ours, _, write, words = [timings[contestant.name].seconds for contestant in together[1]]
    floor = next(row for row in rows if row.name == "augment/noise/vs_floor")
    assert floor.ratio == pytest.approx(np.median((write + words) / ours))
    assert floor.against_value == pytest.approx(1e6 * np.median(write + words))


def row(name, value, ratio, against_value=30.0):
    return harness.Row(f"augment/{name}", value, "us", ratio, "torch", against_value, (value, value), (ratio, ratio))


def test_only_a_time_far_above_its_mark_is_explained():
    near, far = row("scale/torch_vs_mark", 6.0, 0.8, 5.0), row("scale/torch_vs_mark", 50.0, 0.1, 5.0)
    assert augment.explanations([near], load=0.1) == []
    assert "10.0 times the mark of 5 us" in augment.explanations([far], load=0.1)[0]


@pytest.mark.parametrize(("least", "expected"), [(4.0, "the smallest takes 4.0 us"), (1.0, "quiet machine")])
def test_an_explanation_tells_slow_cores_from_other_work(least, expected):
    assert expected in augment.explanation("rotate", 60.0, 23.0, 10, least, load=0.1)


def test_without_torch_the_suite_says_how_to_install_it(monkeypatch, capsys):
    for module in [
        name for name in sys.modules if name.startswith(("benchmarks.speed.augment", "benchmarks.torch.augment"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("benchmarks.torch.augment")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as caught:
        command.main(["augment", "--quick"])
    assert caught.value.code == 2
    assert "make bench-setup" in capsys.readouterr().err


def test_operations_are_counted(arrays):
    assert torch_augment.operations(lambda: arrays[0] + arrays[0] * 2) == 2
