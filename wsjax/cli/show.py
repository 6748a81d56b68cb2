"""`wsjax show`."""

from pathlib import Path
from typing import TYPE_CHECKING

from wsjax.cli.arguments import Directory, Imports, MaybePath
from wsjax.cli.given import check_dataset, import_modules, say_if_unfinished

if TYPE_CHECKING:
    from wsjax.data import WeightDataset


def show(path: Directory, /, *, out: MaybePath = None, import_: Imports = ()) -> None:
    """Describe and draw a data set, a collection or a training run.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo`, `wsjax convert` or `wsjax train` made.
        out: Where to put the picture, inside the directory by default; each member of a collection has its own.
        import_: Modules to import first, such as my_module, which registers augmentations that a run names.
    """
    from wsjax import data, viz
    from wsjax.data.store.collection_store import members_in
    from wsjax.train import load, record

    import_modules(import_)
    if (path / record.RECORD).exists():
        result = load(path)
        say_if_unfinished(result, path)
        print(f"{result.name}, augmentation: {result.config.augment or 'none'}")
        metric = result.task.metric
        for row in result.scores():
            best = metric.shown(row[f"validation_{metric.key}"])
            print(f"seed {row['seed']}: best validation {metric.title} {best} at epoch {row['epoch']}")
        picture = out or path / "curves.png"
        viz.curves({result.name: result.history}, picture)
        print(f"the picture is {picture}")
        return
    check_dataset(path)
    if members_in(path) is None:
        show_dataset(data.load(path), path, out)
        return
    for name in data.Collection.open(path).members:
        own = out and out.with_name(f"{out.stem}-{name}{out.suffix}")
        show_dataset(data.load(path / name), path / name, own)


def show_dataset(dataset: "WeightDataset", path: Path, out: Path | None) -> None:
    """Describe and draw one data set, by default in a picture inside its directory."""
    from wsjax import data, viz

    columns, kind = dataset.columns, viz.drawn_as(dataset)
    print(f"{len(dataset)} networks {dataset.symmetry} of {dataset.metadata.name}")
    for name in data.SPLITS:
        print(f"{name}: {len(dataset.split(name))}")
    if dataset.metadata.recipe and dataset.metadata.recipe.get("named"):
        print(f"recipe: {dataset.metadata.recipe['named']}")
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
