"""`wsjax fit | zoo | train | evaluate | show | convert | verify | demo`: a thin front over the library."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro
from tyro.conf import Positional, arg

from wsjax import __version__, data, models, viz
from wsjax.augment import format_spec, read_spec
from wsjax.demo import run_demo, score_row, summary_table
from wsjax.errors import check_number
from wsjax.train import Plan, Trained, Trial, evaluate, load_trained, record
from wsjax.train import train as train_readers

Spec = Annotated[str, arg(metavar="SPEC")]
Json = Annotated[str, arg(metavar="JSON")]
Source = Annotated[Positional[str], arg(metavar="SOURCE")]
Format = Annotated[Positional[str], arg(metavar="FORMAT")]
Directory = Annotated[Positional[Path], arg(metavar="PATH")]
Dataset = Annotated[Positional[Path], arg(metavar="DATASET")]
Run = Annotated[Positional[Path], arg(metavar="RUN")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]
# What nobody gives is decided elsewhere, as the help says: it has no default to show.
MaybeWhole = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
MaybeNumber = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
MaybeText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
Hidden = Annotated[tuple[int, ...] | None, arg(metavar="INT ...", help_behavior_hint="")]
Stops = Annotated[tuple[int, ...], arg(metavar="INT ...", help_behavior_hint="(default: none)")]
MaybePath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]


def fit(
    source: Source,
    out: Out,
    /,
    *,
    limit: MaybeWhole = None,
    directory: MaybePath = None,
    options: Json = "{}",
    recipe: MaybeText = None,
    steps: MaybeWhole = None,
    learning_rate: MaybeNumber = None,
    target_psnr: MaybeNumber = None,
    views: int = data.Recipe.views,
    seed: int = data.Recipe.seed,
    workers: MaybeWhole = None,
    part: MaybeText = None,
) -> None:
    """Fit one small network to every image or other signal of a source and store them as a data set.

    A run that was interrupted goes on where it stopped when the same command is given again.

    Parts may be fitted on several machines with a shared disk. Whichever ends last joins them.

    Args:
        source: digits, mnist, fashion-mnist, solids, sines or meshes.
        out: The directory to make the data set in.
        limit: Fit only this many images or signals, every split in its proportion.
        directory: Where the source's files are; for images else Debian's package or a download.
        options: The source's own settings as JSON, e.g. '{"count": 100}'.
        recipe: One for images by name (dws, nfn or fast) instead of the source's own.
        steps: Optimiser steps a network, or the most with a target; the recipe says how many by default.
        learning_rate: The optimiser's; the recipe says which by default.
        target_psnr: Decibels at which a network stops; the recipe says whether and when by default.
        views: Independently initialised networks for each image or signal.
        seed: Every network's initial weights derive from this and its signal's number.
        workers: Groups fitted at the same time; one a core by default.
        part: Fit only a part, such as 1/4, the first of four; as many processes may fit them at the same time.
    """
    own = data.default_recipe(source) if recipe is None else named_recipe(recipe, source)
    found = data.limit(data.load_source(source, directory, parse_settings(options, name="options")), limit)
    given = {"steps": steps, "learning_rate": learning_rate, "target_psnr": target_psnr, "views": views, "seed": seed}
    asked = replace(own, **{name: value for name, value in given.items() if value is not None})
    if part is None:
        dataset = data.fit_dataset(found, asked, out, workers=workers)
    else:
        dataset = data.fit_part(found, asked, out, data.Part.parse(part), workers=workers)
    if dataset is None:
        return
    picture = out / "fits.png"
    viz.fits(found, dataset, picture)
    psnr = dataset.columns["psnr"]
    print(f"{len(dataset)} networks, PSNR mean {psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB")
    print(f"the data set is in {out}; a picture of some fits is in {picture}")


def named_recipe(name: str, source: str) -> data.Recipe:
    """A recipe by name, for the images of a source.

    Raises:
        ValueError: an unknown name or source, or a source of signals that are no images.
    """
    channels = data.default_recipe(source).network.widths[-1]
    if not data.SOURCES[source].images:
        raise ValueError(
            f"recipe is {name!r}, which is for images; {source!r} gives other signals: leave it out, and they are "
            f"fitted by their own"
        )
    return data.recipe_named(name, channels)


def train(
    dataset: Dataset,
    out: Out,
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
    settings: Json = "{}",
) -> None:
    """Train a reader on a data set, several seeds at once, and score it once on the test split.

    The epoch with the best validation accuracy is kept for each seed.

    An interrupted training goes on when the same command is given again.

    Args:
        dataset: A directory that `wsjax fit` made.
        out: The directory of the run.
        reader: dws, mlp, probe, activation_probe, probed_dws, statistics, rows, scale_gmn, nfn, nft,
            array_encoder, neural_graph or relational.
        augment: Steps joined by '|', e.g. "flip_signs | rotate(max_degrees=30) | mixup(alpha=0.4)", or "recommended".
        epochs: Passes over the training split.
        batch_size: Networks a step.
        learning_rate: The peak, after warm-up and before cosine decay.
        weight_decay: Decoupled, as in AdamW.
        dropout: Share of the reader's channels dropped.
        seeds: How many readers to train side by side, seeds 0, 1, ...
        evaluate_every: Epochs between evaluations.
        settings: A size, small, base or published, or the reader's own settings as JSON, e.g. '{"channels": 32}'.
    """
    check_number("seeds", seeds, low=1)
    networks = data.load(dataset)
    plan = Plan(
        reader=reader,
        reader_settings=models.config_of(reader, settings if settings.isidentifier() else parse_settings(settings)),
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


def convert(format: Format, source: Directory, out: Out, /, *, options: Json = "{}") -> None:
    """Store a public weight data set as ours, or export one of ours.

    Args:
        format: One of dws-mnist, dws-fashion-mnist, dws-fashion-multiview, nfn-sirens, fit-a-nef, state-dicts,
            small-cnn-zoo, hsg-zoo, cnn-park, arrays; to-state-dicts or to-arrays to export.
        source: The directory to read.
        out: A new directory.
        options: The format's own options as JSON, e.g. '{"views": 3}'.
    """
    made = data.convert(format, source, out, **parse_settings(options, name="options"))
    print(f"{made!r} is in {out}")


def verify(path: Directory, /, *, sample: int = 64, directory: MaybePath = None) -> None:
    """Check a stored data set: every checksum, and a sample of networks decoded, or run, beside their images.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made.
        sample: How many networks to decode or to run.
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
        raise ValueError(f"{name} is {text!r}; expected a JSON object, such as '{{\"NAME\": 32}}'")
    return settings


def zoo(
    source: Source,
    out: Out,
    /,
    *,
    networks: int = data.ZooRecipe.count,
    architecture: Literal["mlp", "cnn"] = "mlp",
    activation: str = "relu",
    hidden: Hidden = None,
    steps: int = data.ZooRecipe.steps,
    batch_size: int = data.ZooRecipe.batch_size,
    snapshots: Stops = data.ZooRecipe.snapshots,
    optimisers: tuple[str, ...] = data.ZooRecipe.optimisers,
    learning_rate: tuple[float, float] = data.ZooRecipe.learning_rate,
    weight_decay: tuple[float, float] = data.ZooRecipe.weight_decay,
    init_scale: tuple[float, float] = data.ZooRecipe.init_scale,
    share: tuple[float, float] = data.ZooRecipe.share,
    dropout: tuple[float, float] = data.ZooRecipe.dropout,
    label_noise: tuple[float, float] = data.ZooRecipe.label_noise,
    lanes: int = data.ZooRecipe.lanes,
    seed: int = data.ZooRecipe.seed,
    limit: MaybeWhole = None,
    directory: MaybePath = None,
    workers: MaybeWhole = None,
    part: MaybeText = None,
) -> None:
    """Fit many small classifiers of a source's images, each with settings of its own, as a data set.

    A network's label is its accuracy on the source's test images.

    A run that was interrupted goes on where it stopped when the same command is given again.

    Args:
        source: digits, mnist or fashion-mnist.
        out: The directory to make the data set in.
        networks: How many to fit.
        architecture: mlp or cnn.
        activation: relu, tanh, or another of wsjax's activations.
        hidden: Neurons of each hidden layer, or channels of each convolution; 16 16 or 16 16 16 by default.
        steps: Optimiser steps a network.
        batch_size: Images a step.
        snapshots: Numbers of steps after which each network is stored too.
        optimisers: adam, sgd (with momentum) or both, to draw from.
        learning_rate: The range that each network's is drawn from, log-uniformly.
        weight_decay: Its range, log-uniform.
        init_scale: The range of what multiplies the initial kernels, log-uniform.
        share: The range of the share of the training images that a network sees, uniform.
        dropout: Its range, uniform.
        label_noise: The range of the share of labels drawn anew, uniform.
        lanes: Networks fitted side by side by one program; more suit accelerators.
        seed: Everything that is drawn derives from this and the network's number.
        limit: Use only this many images, every split in its proportion.
        directory: Where the source's files are; else Debian's package or a download.
        workers: Groups fitted at the same time; one a core by default.
        part: Fit only a part, such as 1/4, as `wsjax fit` does.
    """
    images = data.limit(data.load_images(source, directory), limit)
    recipe = data.ZooRecipe(
        data.zoo_network(architecture, images, hidden, activation),
        count=networks,
        steps=steps,
        batch_size=batch_size,
        lanes=lanes,
        seed=seed,
        snapshots=snapshots,
        optimisers=optimisers,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        init_scale=init_scale,
        share=share,
        dropout=dropout,
        label_noise=label_noise,
    )
    if part is None:
        dataset = data.fit_zoo(images, recipe, out, workers=workers)
    else:
        dataset = data.fit_zoo_part(images, recipe, out, data.Part.parse(part), workers=workers)
    if dataset is None:
        return
    picture = out / "zoo.png"
    viz.zoo(dataset, picture)
    print(viz.zoo_table(dataset))
    print(f"the data set is in {out}; a picture of it is in {picture}")


def evaluate_run(run: Run, dataset: Dataset, /, *, split: str = "test") -> None:
    """Score a trained reader on a split of a data set.

    Args:
        run: A directory that `wsjax train` made.
        dataset: A directory that `wsjax fit` made, of the same architecture.
        split: train, validation or test.
    """
    trained = load_trained(run)
    say_if_unfinished(trained, run)
    accuracies = evaluate(trained, data.load(dataset), split)
    for trial, accuracy in zip(trained.trials, accuracies, strict=True):
        print(f"seed {trial.seed}: {split} accuracy {accuracy:.1%}")
    print(f"{trained.plan.reader} of {run} on {dataset}: mean {sum(accuracies) / len(accuracies):.1%}")


def say_if_unfinished(trained: Trained, run: Path) -> None:
    """A line where a training was stopped, as what follows is of its last checkpoint."""
    last = max(row["epoch"] for row in trained.history)
    if last < trained.plan.epochs:
        print(f"{run} was stopped after {last} of {trained.plan.epochs} epochs; the same training command goes on")


def show(path: Directory, /, *, out: MaybePath = None) -> None:
    """Describe and draw a data set, a collection or a training run.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo`, `wsjax convert` or `wsjax train` made.
        out: Where to put the picture, inside the directory by default; each member of a collection has its own.
    """
    if (path / record.RECORD).exists():
        trained = load_trained(path)
        say_if_unfinished(trained, path)
        picture = out or path / "curves.png"
        viz.curves({trained.plan.reader: trained.history}, picture)
        print(f"{trained.plan.reader}, augmentation: {trained.plan.augment or 'none'}")
        for row in trained.scores():
            print(f"seed {row['seed']}: best validation {row['validation_accuracy']:.1%} at epoch {row['epoch']}")
        print(f"the picture is {picture}")
        return
    if data.members_in(path) is None:
        show_dataset(data.load(path), path, out)
        return
    for name in data.open_collection(path).members:
        own = out and out.with_name(f"{out.stem}-{name}{out.suffix}")
        show_dataset(data.load(path / name), path / name, own)


def show_dataset(dataset: data.WeightDataset, path: Path, out: Path | None) -> None:
    """Describe and draw one data set, by default in a picture inside its directory."""
    columns, kind = dataset.columns, viz.drawn_as(dataset)
    print(f"{len(dataset)} networks {dataset.symmetry} of {dataset.card.name}")
    for name in data.SPLITS:
        print(f"{name}: {len(dataset.split(name))}")
    if dataset.card.recipe and dataset.card.recipe.get("named"):
        print(f"recipe: {dataset.card.recipe['named']}")
    if "psnr" in columns:
        print(f"PSNR: mean {columns['psnr'].mean():.1f} dB, lowest {columns['psnr'].min():.1f} dB")
    if kind == "zoo":
        print(viz.zoo_table(dataset))
    if kind is None:
        print("they hold no pictures to draw")
        return
    picture = out or path / f"{kind}.png"
    viz.draw(dataset, picture)
    print(f"the picture is {picture}")


def demo(*, out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """The whole path: fit `digits`, train readers with and without augmentation, table, pictures, report.

    Args:
        out: The directory for everything it makes; an interrupted demo goes on from there.
        quick: A toy size that only shows that the path works, in about a minute.
    """
    run_demo(out, quick=quick)


COMMANDS = {
    "fit": fit,
    "zoo": zoo,
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
            COMMANDS,
            prog="wsjax",
            description="Learning on the weights of neural networks. (--version says which wsjax this is.)",
            sort_subcommands=False,
        )
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read the output has left, as `head` does; what Python writes at its end is for nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
