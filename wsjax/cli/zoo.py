"""`wsjax zoo`."""

from typing import Literal

from wsjax.cli.arguments import Hidden, MaybePath, MaybeText, MaybeWhole, Out, Source, Stops


def zoo(
    source: Source,
    out: Out,
    /,
    *,
    networks: int = 1000,
    architecture: Literal["mlp", "cnn"] = "mlp",
    activation: str = "relu",
    hidden: Hidden = None,
    steps: int = 600,
    batch_size: int = 64,
    snapshots: Stops = (),
    optimizers: tuple[str, ...] = ("adam", "sgd"),
    learning_rate: tuple[float, float] = (5e-4, 5e-2),
    weight_decay: tuple[float, float] = (1e-8, 1e-2),
    init_scale: tuple[float, float] = (0.3, 3.0),
    train_fraction: tuple[float, float] = (0.1, 1.0),
    dropout: tuple[float, float] = (0.0, 0.5),
    label_noise: tuple[float, float] = (0.0, 0.0),
    slots: int = 16,
    seed: int = 0,
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
        directory: Where the source's files are; else Debian's package or a download.
        workers: Groups fitted at the same time; one a core by default.
        part: Fit only a part, such as 1/4, as `wsjax fit` does.
    """
    from wsjax import data, viz

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
    asked_part = None if part is None else data.Part.parse(part)
    dataset = data.fit(images, recipe=recipe, out=out, part=asked_part, workers=workers)
    if dataset is None:
        return
    picture = out / "zoo.png"
    viz.zoo(dataset, picture)
    print(viz.zoo_table(dataset))
    print(f"the data set is in {out}; a picture of it is in {picture}")
