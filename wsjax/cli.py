"""`wsjax fit | train | evaluate | show | demo`: a thin front over the library."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import jax
import tyro
from tyro.conf import Positional, arg

from wsjax import __version__, data, models, viz
from wsjax.augment import format_spec, read_spec
from wsjax.demo import run_demo, score_row, summary_table
from wsjax.errors import check_number
from wsjax.train import Plan, Trial, evaluate, load_trained, record
from wsjax.train import train as train_readers

Spec = Annotated[str, arg(metavar="SPEC")]


def fit(
    source: Positional[str],
    out: Positional[Path],
    /,
    *,
    limit: int | None = None,
    directory: Path | None = None,
    recipe: str | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    target_psnr: float | None = None,
    views: int = data.Recipe.views,
    seed: int = data.Recipe.seed,
    workers: int | None = None,
) -> None:
    """Fit one small network to every image of a source and store them as a data set.

    A run that was interrupted goes on where it stopped when the same command is given again.

    Args:
        source: digits, fashion-mnist or mnist.
        out: The directory to make the data set in.
        limit: Fit only this many images, every split in its proportion.
        directory: Where the source's IDX files are; else Debian's package or a download.
        recipe: One by name (dws, nfn or fast) instead of the source's own.
        steps: Optimiser steps a network, or the most with a target; the recipe says how many by default.
        learning_rate: The optimiser's; the recipe says which by default.
        target_psnr: Decibels at which a network stops; the recipe says whether and when by default.
        views: Independently initialised networks for each image.
        seed: Every network's initial weights derive from this and its image's number.
        workers: Groups fitted at the same time; one a core by default.
    """
    images = data.limit(data.load_images(source, directory), limit)
    own = data.default_recipe(source) if recipe is None else data.recipe_named(recipe, images.pixels.shape[-1])
    given = {"steps": steps, "learning_rate": learning_rate, "target_psnr": target_psnr, "views": views, "seed": seed}
    asked = replace(own, **{name: value for name, value in given.items() if value is not None})
    dataset = data.fit_dataset(images, asked, out, workers=workers)
    picture = out / "fits.png"
    viz.fits(images, dataset, picture)
    psnr = dataset.columns["psnr"]
    print(f"{len(dataset)} networks, PSNR mean {psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB")
    print(f"the data set is in {out}; a picture of some fits is in {picture}")


def train(
    dataset: Positional[Path],
    out: Positional[Path],
    /,
    *,
    reader: str = Plan.reader,
    augment: Spec = Plan.augment,
    epochs: int = Plan.epochs,
    batch_size: int = Plan.batch_size,
    learning_rate: float = Trial.learning_rate,
    weight_decay: float = Trial.weight_decay,
    dropout: float = Trial.dropout,
    seeds: int = 3,
    evaluate_every: int = Plan.evaluate_every,
    settings: str = "{}",
) -> None:
    """Train a reader on a data set, several seeds at once, and score it once on the test split.

    The epoch with the best validation accuracy is kept for each seed. An interrupted training goes on when the same
    command is given again.

    Args:
        dataset: A directory that `wsjax fit` made.
        out: The directory of the run.
        reader: dws, mlp or probe.
        augment: Steps joined by '|', e.g. "flip_signs | rotate(max_degrees=30) | mixup(alpha=0.4)", or "recommended".
        epochs: Passes over the training split.
        batch_size: Networks a step.
        learning_rate: The peak, after warm-up and before cosine decay.
        weight_decay: Decoupled, as in AdamW.
        dropout: Share of the reader's channels dropped.
        seeds: How many readers to train side by side, seeds 0, 1, ...
        evaluate_every: Epochs between evaluations.
        settings: The reader's own settings as JSON, e.g. '{"channels": 32}'.
    """
    check_number("seeds", seeds, low=1)
    networks = data.load(dataset)
    plan = Plan(
        reader=reader,
        reader_settings=models.config_of(reader, parse_settings(settings)),
        augment=format_spec(read_spec(augment)),
        epochs=epochs,
        batch_size=batch_size,
        evaluate_every=evaluate_every,
    )
    trials = [Trial(seed, learning_rate, weight_decay, dropout) for seed in range(seeds)]
    trained = train_readers(networks, plan, trials, out)
    row = score_row(trained, evaluate(trained, networks))
    record.write_json(out / record.RESULT, row)
    viz.curves({reader: trained.history}, out / "curves.png")
    print(summary_table({reader: row}))
    print(f"the trained readers, metrics.jsonl, {record.RESULT} and curves.png are in {out}")


def convert(
    format: Positional[str], source: Positional[Path], out: Positional[Path], /, *, options: str = "{}"
) -> None:
    """Store a public weight data set as ours, or export one of ours as state dicts.

    Args:
        format: dws-mnist, dws-fashion-mnist, dws-fashion-multiview, nfn-sirens, fit-a-nef, state-dicts, small-cnn-zoo,
            hsg-zoo, cnn-park or to-state-dicts.
        source: The directory to read.
        out: A new directory.
        options: The format's own options as JSON, e.g. '{"views": 3}'.
    """
    made = data.convert(format, source, out, **parse_settings(options, name="options"))
    print(f"{made!r} is in {out}")


def verify(path: Positional[Path], /, *, sample: int = 64, directory: Path | None = None) -> None:
    """Check a stored data set: every checksum, and a sample of networks decoded beside their images.

    Args:
        path: A directory that `wsjax fit` or `wsjax convert` made.
        sample: How many networks to decode.
        directory: Where the IDX files of its source are; else Debian's package or an earlier download.
    """
    found = data.verify(path, sample=sample, directory=directory)
    print(found)
    if not found.ok:
        raise SystemExit(1)


def parse_settings(text: str, name: str = "settings") -> dict:
    """Settings by name from JSON.

    Raises:
        ValueError: the text is no JSON object.
    """
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{name} is {text!r}; expected JSON such as '{{\"channels\": 32}}'")
    return settings


def evaluate_run(run: Positional[Path], dataset: Positional[Path], /, *, split: str = "test") -> None:
    """Score a trained reader on a split of a data set.

    Args:
        run: A directory that `wsjax train` made.
        dataset: A directory that `wsjax fit` made, of the same architecture.
        split: train, validation or test.
    """
    trained = load_trained(run)
    accuracies = evaluate(trained, data.load(dataset), split)
    for trial, accuracy in zip(trained.trials, accuracies, strict=True):
        print(f"seed {trial.seed}: {split} accuracy {accuracy:.1%}")
    print(f"{trained.plan.reader} of {run} on {dataset}: mean {sum(accuracies) / len(accuracies):.1%}")


def show(path: Positional[Path], /, *, out: Path | None = None) -> None:
    """Describe and draw a data set or a training run.

    Args:
        path: A directory that `wsjax fit` or `wsjax train` made.
        out: Where to put the picture; inside the directory by default.
    """
    if (path / record.RECORD).exists():
        trained = load_trained(path)
        picture = out or path / "curves.png"
        viz.curves({trained.plan.reader: trained.history}, picture)
        print(f"{trained.plan.reader}, augmentation: {trained.plan.augment or 'none'}")
        for row in trained.scores():
            print(f"seed {row['seed']}: best validation {row['validation_accuracy']:.1%} at epoch {row['epoch']}")
    else:
        dataset = data.load(path)
        print(f"{len(dataset)} networks {dataset.symmetry} of {dataset.card.name}")
        for name in data.SPLITS:
            print(f"{name}: {len(dataset.split(name))}")
        if "psnr" in dataset.columns:
            print(f"PSNR: mean {dataset.columns['psnr'].mean():.1f} dB, lowest {dataset.columns['psnr'].min():.1f} dB")
        if dataset.card.network is None or dataset.card.image_shape is None:
            print("they hold no pictures to draw")
            return
        picture = out or path / "gallery.png"
        viz.gallery(dataset, 0, picture)
    print(f"the picture is {picture}")


def demo(*, out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """The whole path: fit `digits`, train readers with and without augmentation, table, pictures, report.

    Args:
        out: The directory for everything it makes; an interrupted demo goes on from there.
        quick: A toy size that only shows that the path works, in well under a minute.
    """
    run_demo(out, quick=quick)


COMMANDS = {
    "fit": fit,
    "train": train,
    "evaluate": evaluate_run,
    "show": show,
    "convert": convert,
    "verify": verify,
    "demo": demo,
}


def main() -> None:
    """The console command."""
    if sys.argv[1:] == ["--version"]:
        print(f"wsjax {__version__}")
        return
    # Host threads run their programs themselves: several groups of a fit side by side, one a core.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="wsjax", description="Learning on the weights of neural networks.", sort_subcommands=False
        )
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
