"""`wsjax show`, `wsjax convert` and `wsjax verify`: commands on stored data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

from wsjax.cli import arguments as arg

if TYPE_CHECKING:
    from wsjax.data import WeightDataset


def show(path: arg.Directory, /, *, out: arg.MaybePath = None, import_: arg.Imports = ()) -> None:
    """Describe and draw a data set, a collection or a training run.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo`, `wsjax convert` or `wsjax train` made.
        out: Where to put the figure, inside the directory by default; each member of a collection has its own.
        import_: Modules to import first, such as my_module, which registers augmentations that a run names.
    """
    from wsjax import data, viz
    from wsjax.data.collection import members_in
    from wsjax.train import load, record

    arg.import_modules(import_)
    if (path / record.RECORD).exists():
        result = load(path)
        arg.say_if_unfinished(result, path)
        print(f"{result.name}, augmentation: {result.config.augment or 'none'}")
        metric = result.task.metric
        for row in result.scores():
            best = metric.shown(row[f"validation_{metric.key}"])
            print(f"seed {row['seed']}: best validation {metric.title} {best} at epoch {row['epoch']}")
        figure = out or path / "curves.png"
        viz.curves({result.name: result.history}, figure)
        print(f"the figure is {figure}")
        return
    arg.check_dataset(path)
    if members_in(path) is None:
        show_dataset(data.load(path), path, out)
        return
    for name in data.Collection.open(path).members:
        own = out and out.with_name(f"{out.stem}-{name}{out.suffix}")
        show_dataset(data.load(path / name), path / name, own)


def show_dataset(dataset: "WeightDataset", path: Path, out: Path | None) -> None:
    """Describe and draw one data set, by default in a figure inside its directory."""
    from wsjax import data, viz
    from wsjax.viz.draw import drawn_as
    from wsjax.viz.quality import zoo_table

    columns, kind = dataset.columns, drawn_as(dataset)
    print(f"{len(dataset)} networks {dataset.symmetry} of {dataset.metadata.name}")
    for name in data.sources.SPLITS:
        print(f"{name}: {len(dataset.split(name))}")
    if dataset.metadata.recipe and dataset.metadata.recipe.get("named"):
        print(f"recipe: {dataset.metadata.recipe['named']}")
    if "psnr" in columns:
        print(f"PSNR: mean {columns['psnr'].mean():.1f} dB, lowest {columns['psnr'].min():.1f} dB")
    if kind == "zoo":
        print(zoo_table(dataset))
    if kind is None:
        print("there is nothing to draw of them")
        return
    figure = out or path / f"{kind}.png"
    viz.draw(dataset, figure)
    print(f"the figure is {figure}")


def convert(format: arg.Format, source: arg.Directory, out: arg.Out, /, *, options: arg.Json = "{}") -> None:
    """Convert a public weight data set to a stored data set, or export a stored one.

    Args:
        format: One of dws-mnist, dws-fashion-mnist, dws-fashion-multiview, nfn-sirens, fit-a-nef, state-dicts,
            small-cnn-zoo, hsg-zoo, cnn-park, arrays; to-state-dicts or to-arrays to export.
        source: The directory to read.
        out: A new directory.
        options: The format's own options as JSON, e.g. '{"views": 3}'.
    """
    from wsjax import data

    made = data.formats.convert(format, source, out, **arg.parse_settings(options, name="options"))
    print(f"{made!r} is in {out}")


def verify(path: arg.Directory, /, *, sample: int = 64, directory: arg.MaybePath = None) -> None:
    """Check a stored data set: every checksum, and a sample of networks compared with their images.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made.
        sample: How many networks to decode or to run.
        directory: Where the IDX files of its source are; by default Debian's package or an earlier download.
    """
    from wsjax import data

    arg.check_dataset(path)
    found = data.verify(path, sample=sample, directory=directory)
    print(found)
    if not found.ok:
        raise SystemExit(1)
