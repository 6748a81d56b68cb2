"""`wsjax fit` and `wsjax zoo`: networks fitted to data."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from wsjax.cli import arguments as arg

if TYPE_CHECKING:
    from wsjax.data import Recipe


def fit(
    source: arg.Source,
    out: arg.Out,
    /,
    *,
    limit: arg.MaybeWhole = None,
    directory: arg.MaybePath = None,
    options: arg.Json = "{}",
    recipe: arg.MaybeText = None,
    steps: arg.MaybeWhole = None,
    learning_rate: arg.MaybeNumber = None,
    target_psnr: arg.MaybeNumber = None,
    views: int = 1,
    seed: int = 0,
    workers: arg.MaybeWhole = None,
    part: arg.MaybeText = None,
) -> None:
    """Fit one small network to every image or other signal of a source and store them as a data set.

    A run that was interrupted goes on where it stopped when the same command is given again.

    Parts may be fitted on several machines with a shared disk. The process that ends last joins them.

    Args:
        source: digits, mnist, fashion-mnist, solids, sines or meshes.
        out: The directory to make the data set in.
        limit: Fit only this many images or signals, every split in its proportion.
        directory: Where the source's files are; by default, for images, Debian's package or a download.
        options: The source's own settings as JSON, e.g. '{"count": 100}'.
        recipe: A recipe for images by name (dws, nfn, fast or siren) instead of the source's own.
        steps: Optimizer steps for each network, with a target at most; by default the recipe's.
        learning_rate: The optimizer's; by default the recipe's.
        target_psnr: PSNR in dB at which a network's fit stops; by default the recipe's, or none.
        views: Independently initialized networks for each image or signal.
        seed: Every network's initial weights derive from this and the number of its signal.
        workers: Groups fitted at the same time; one a core by default.
        part: Fit only a part, such as 1/4, the first of four; as many processes may fit them at the same time.
    """
    from wsjax import data, viz
    from wsjax.errors import check_choice

    check_choice("source", source, tuple(data.sources.SOURCES))
    own = data.recipe_named(source) if recipe is None else named_recipe(recipe, source)
    found = data.limit(data.sources.load_source(source, directory, arg.parse_settings(options, name="options")), limit)
    given = {"steps": steps, "learning_rate": learning_rate, "target_psnr": target_psnr, "views": views, "seed": seed}
    asked = replace(own, **{name: value for name, value in given.items() if value is not None})
    dataset = data.fit(found, recipe=asked, out=out, part=part, workers=workers)
    if dataset is None:
        return
    figure = out / "fits.png"
    viz.fits(found, dataset, figure)
    psnr = dataset.columns["psnr"]
    print(f"{len(dataset)} networks, PSNR mean {psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB")
    print(f"the data set is in {out}; a figure of some fits is in {figure}")


def named_recipe(name: str, source: str) -> "Recipe":
    """A recipe by name, for a source of images. Raises ValueError for an unknown name and other signals."""
    from wsjax import data

    channels = data.recipe_named(source).network.widths[-1]
    if not data.sources.SOURCES[source].images:
        raise ValueError(
            f"recipe is {name!r}, which is for images; {source!r} gives other signals: leave it out, and they are "
            f"fitted by their own"
        )
    return data.recipe_named(name, channels)


def zoo(
    source: arg.Source,
    out: arg.Out,
    /,
    *,
    networks: int = 1000,
    architecture: Literal["mlp", "cnn"] = "mlp",
    activation: str = "relu",
    hidden: arg.Hidden = None,
    steps: int = 600,
    batch_size: int = 64,
    snapshots: arg.Stops = (),
    optimizers: arg.Names = ("adam", "sgd"),
    learning_rate: tuple[float, float] = (5e-4, 5e-2),
    weight_decay: tuple[float, float] = (1e-8, 1e-2),
    init_scale: tuple[float, float] = (0.3, 3.0),
    train_fraction: tuple[float, float] = (0.1, 1.0),
    dropout: tuple[float, float] = (0.0, 0.5),
    label_noise: tuple[float, float] = (0.0, 0.0),
    slots: int = 16,
    seed: int = 0,
    limit: arg.MaybeWhole = None,
    directory: arg.MaybePath = None,
    workers: arg.MaybeWhole = None,
    part: arg.MaybeText = None,
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
        hidden: Neurons of each hidden layer, or channels of each convolution; by default 16,16 or 16,16,16.
        steps: Optimizer steps a network.
        batch_size: Images a step.
        snapshots: Numbers of steps after which each network is stored too.
        optimizers: adam, sgd (with momentum) or both, to draw from.
        learning_rate: The range that each network's is drawn from, log-uniformly.
        weight_decay: Its range, log-uniform.
        init_scale: The range of what multiplies the initial kernels, log-uniform.
        train_fraction: The range of the fraction of the training images that a network is trained on, uniform.
        dropout: Its range, uniform.
        label_noise: The range of the fraction of labels drawn anew, uniform.
        slots: Networks fitted side by side by one program; more suit accelerators.
        seed: Everything that is drawn derives from this and the network's number.
        limit: Use only this many images, every split in its proportion.
        directory: Where the source's files are; by default Debian's package or a download.
        workers: Groups fitted at the same time; one a core by default.
        part: Fit only a part, such as 1/4, as `wsjax fit` does.
    """
    from wsjax import data, viz
    from wsjax.viz.quality import zoo_table

    images = data.limit(data.load_images(source, directory), limit)
    recipe = data.ZooRecipe(
        data.zoo.zoo_network(architecture, images, hidden, activation),
        count=networks,
        steps=steps,
        batch_size=batch_size,
        slots=slots,
        seed=seed,
        snapshots=snapshots,
        optimizers=optimizers,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        init_scale=init_scale,
        train_fraction=train_fraction,
        dropout=dropout,
        label_noise=label_noise,
    )
    dataset = data.fit(images, recipe=recipe, out=out, part=part, workers=workers)
    if dataset is None:
        return
    figure = out / "zoo.png"
    viz.zoo(dataset, figure)
    print(zoo_table(dataset))
    print(f"the data set is in {out}; a figure of it is in {figure}")
