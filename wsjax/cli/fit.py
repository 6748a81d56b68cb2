"""`wsjax fit`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from wsjax.cli.arguments import Json, MaybeNumber, MaybePath, MaybeText, MaybeWhole, Out, Source
from wsjax.cli.given import parse_settings

if TYPE_CHECKING:
    from wsjax.data import Recipe


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
    views: int = 1,
    seed: int = 0,
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
        steps: Optimizer steps a network, or the most with a target; the recipe says how many by default.
        learning_rate: The optimizer's; the recipe says which by default.
        target_psnr: Decibels at which a network stops; the recipe says whether and when by default.
        views: Independently initialized networks for each image or signal.
        seed: Every network's initial weights derive from this and its signal's number.
        workers: Groups fitted at the same time; one a core by default.
        part: Fit only a part, such as 1/4, the first of four; as many processes may fit them at the same time.
    """
    from wsjax import data, viz
    from wsjax.errors import check_choice

    check_choice("source", source, tuple(data.sources.SOURCES))
    own = data.recipe_named(source) if recipe is None else named_recipe(recipe, source)
    found = data.limit(data.load_source(source, directory, parse_settings(options, name="options")), limit)
    given = {"steps": steps, "learning_rate": learning_rate, "target_psnr": target_psnr, "views": views, "seed": seed}
    asked = replace(own, **{name: value for name, value in given.items() if value is not None})
    asked_part = None if part is None else data.Part.parse(part)
    dataset = data.fit(found, recipe=asked, out=out, part=asked_part, workers=workers)
    if dataset is None:
        return
    picture = out / "fits.png"
    viz.fits(found, dataset, picture)
    psnr = dataset.columns["psnr"]
    print(f"{len(dataset)} networks, PSNR mean {psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB")
    print(f"the data set is in {out}; a picture of some fits is in {picture}")


def named_recipe(name: str, source: str) -> "Recipe":
    """A recipe by name, for the images of a source.

    Raises:
        ValueError: an unknown name or source, or a source of signals that are no images.
    """
    from wsjax import data

    channels = data.recipe_named(source).network.widths[-1]
    if not data.sources.SOURCES[source].images:
        raise ValueError(
            f"recipe is {name!r}, which is for images; {source!r} gives other signals: leave it out, and they are "
            f"fitted by their own"
        )
    return data.recipe_named(name, channels)
