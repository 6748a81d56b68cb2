"""`wsjax show`."""

from pathlib import Path
from typing import TYPE_CHECKING

from wsjax.cli.arguments import Directory, MaybePath
from wsjax.cli.given import check_dataset

if TYPE_CHECKING:
    from wsjax.data import WeightDataset


def show(path: Directory, /, *, out: MaybePath = None) -> None:
    """Describe and draw a data set, a collection or a training run.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo`, `wsjax convert` or `wsjax train` made.
        out: Where to put the picture, inside the directory by default; each member of a collection has its own.
    """
    from wsjax import data, viz
    from wsjax.cli.unfinished import say_if_unfinished
    from wsjax.train import load_trained, record

    if (path / record.RECORD).exists():
        trained = load_trained(path)
        say_if_unfinished(trained, path)
        print(f"{trained.plan.reader}, augmentation: {trained.plan.augment or 'none'}")
        measure = trained.measure
        for row in trained.scores():
            best = measure.shown(row[f"validation_{measure.key}"])
            print(f"seed {row['seed']}: best validation {measure.title} {best} at epoch {row['epoch']}")
        picture = out or path / "curves.png"
        viz.curves({trained.plan.reader: trained.history}, picture)
        print(f"the picture is {picture}")
        return
    check_dataset(path)
    if data.members_in(path) is None:
        show_dataset(data.load(path), path, out)
        return
    for name in data.open_collection(path).members:
        own = out and out.with_name(f"{out.stem}-{name}{out.suffix}")
        show_dataset(data.load(path / name), path / name, own)


def show_dataset(dataset: "WeightDataset", path: Path, out: Path | None) -> None:
    """Describe and draw one data set, by default in a picture inside its directory."""
    from wsjax import data, viz

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
