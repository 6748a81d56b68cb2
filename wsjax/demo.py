"""The demonstration: what augmentation gives, on the digits that scikit-learn contains.

One network is fitted to each image, and readers learn to classify the digit: from the weights alone, or by running
the networks. A reader of weights trains once, its seeds without augmentation beside those with it, in one compiled
program: the strengths of the augmentation are the runs' own, and zero changes no network. Settings were chosen
beforehand on the validation split (benchmarks/accuracy/demo_search.py); it chooses each seed's epoch too, and the test
split is read once.
"""

import os
import platform
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax

from wsjax import __version__, data, viz
from wsjax.augment import CATALOGUE
from wsjax.augment.presets import RECOMMENDED
from wsjax.models import NamedReader
from wsjax.storage import files
from wsjax.train import Run, TrainConfig, evaluate, fit
from wsjax.train.results import row_of, spreads, stopwatch, summary_table
from wsjax.viz.report import Section
from wsjax.viz.style import Figure

T = TypeVar("T")

STRENGTHS = "flip_signs(probability={}) | rotate(max_degrees={}) | scale(max_log={}) | translate(max_shift={})"
AUGMENTED, PLAIN = STRENGTHS.format(0.5, 15.0, 0.1, 0.1), STRENGTHS.format(0.0, 0.0, 0.0, 0.0)
"""`RECOMMENDED` with its strengths named, and the same program at strength zero, which changes no bit of a network."""


@dataclass(frozen=True)
class Training:
    """One training of the demonstration: a reader with its settings, and the configuration of its runs."""

    settings: Mapping[str, Any]
    config: TrainConfig


@dataclass(frozen=True)
class Row:
    """One row of the table: some runs of a reader's training, and the settings that they have in common."""

    title: str
    reader: str
    run: Run

    @property
    def augmented(self) -> bool:
        return self.run.augment is None and bool(TRAININGS[self.reader].config.augment)


PLAIN_CONFIG = TrainConfig(epochs=30, batch_size=64, evaluate_every=5)
TRAININGS = {
    "dws": Training({"channels": 8}, replace(PLAIN_CONFIG, augment=AUGMENTED)),
    "weight_gcn": Training({"channels": 32}, replace(PLAIN_CONFIG, augment=AUGMENTED)),
    "probe": Training({}, PLAIN_CONFIG),
}
ROWS = {
    "reader": Row("DWS", "dws", Run(0, 16e-3, 0.2, 0.1, PLAIN)),
    "reader_augmented": Row("DWS, augmented", "dws", Run(0, 16e-3, 0.2, 0.1)),
    "weight_gcn": Row("WeightGCN", "weight_gcn", Run(0, 16e-3, 0.2, 0.1, PLAIN)),
    "weight_gcn_augmented": Row("WeightGCN, augmented", "weight_gcn", Run(0, 8e-3, 0.2, 0.1)),
    "probe": Row("probing", "probe", Run(0, 16e-3, 0.2, 0.1)),
}
"""The trainings, and the rows of results.json: as `python -m benchmarks.accuracy.demo_search` chose them."""


@dataclass(frozen=True)
class Size:
    """How much is done. images: None takes all; shown: the augmentations of the gallery."""

    trainings: Mapping[str, Training]
    rows: Mapping[str, Row]
    seeds: tuple[int, ...] = (1, 2, 3)
    images: int | None = None
    shown: tuple[str, ...] = ("permute", "flip_signs", "rotate", "translate", "scale", "noise")


FULL = Size(TRAININGS, ROWS)
QUICK = Size(
    {
        "dws": Training({"channels": 2, "layers": 1, "head": 8}, TrainConfig(AUGMENTED, epochs=2, evaluate_every=1)),
        "probe": Training({"probes": 8, "width": 8}, TrainConfig(epochs=2, evaluate_every=1)),
    },
    {name: ROWS[name] for name in ("reader", "reader_augmented", "probe")},
    seeds=(1, 2),
    images=120,
    shown=("flip_signs",),
)
WARNING = "quick: a toy size, which shows that everything works; its scores mean nothing"
CHOICE = (
    "Probe a network, by running it at learned points, where you may run it and its outputs answer your question; read "
    "its weights where you cannot, or where the question is how it was trained or how well it generalizes."
)
"""When to probe and when to read weights."""


def train_rows(
    reader: str, size: Size, networks: data.WeightDataset, out: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The rows of one reader, and their histories by title: one training of all runs, one use of the test split."""
    chosen = {name: row for name, row in size.rows.items() if row.reader == reader}
    with stopwatch(out) as spent:
        runs = [replace(row.run, seed=seed) for row in chosen.values() for seed in size.seeds]
        make_model = NamedReader(reader, networks.metadata, size.trainings[reader].settings)
        result = fit(networks, make_model, size.trainings[reader].config, runs=runs, out=out)
        test = evaluate(result, networks)
    rows, histories = {}, {}
    for i, (name, row) in enumerate(chosen.items()):
        own = range(i * len(size.seeds), (i + 1) * len(size.seeds))
        augment = RECOMMENDED if row.augmented else ""
        rows[name] = {**row_of(result, test, runs=own), "augment": augment, "seconds": spent["seconds"]}
        histories[row.title] = [line for line in result.history if line["run"] in own]
    say(f"{reader}: trained in {spent['seconds']:.0f} s")
    return rows, histories


def run_demo(out: Path, *, quick: bool = False) -> dict[str, Any]:
    """Run everything, or what is left of it, and leave results.json, figures and report.html in `out`.

    Two trainings go on side by side, as each keeps one core busy. After Ctrl-C one may go on in its thread.
    """
    size = QUICK if quick else FULL
    figures: dict[str, Path] = {}

    def draw(title: str, name: str, plot: Callable[..., Figure], *drawn: Any, **settings: Any) -> None:
        plot(*drawn, path=out / name, **settings)
        figures[title] = out / name
        say(f"{title}: {out / name}")

    if quick:
        say(WARNING)
    with stopwatch(out) as spent:
        images = data.limit(data.load_images("digits"), size.images)
        networks = data.fit(images, recipe=data.recipe_named("digits"), out=out / "digits")
        draw("Images and the networks that hold them", "fits.png", viz.fits, images, networks)
        jobs = [partial(train_rows, reader, size, networks, out / reader) for reader in size.trainings]
        names = "; ".join(row.title for row in size.rows.values())
        say(f"training with {len(size.seeds)} seeds each: {names}")
        entries = {name: CATALOGUE[name] for name in size.shown}

        def meanwhile() -> list[Any]:
            title = "One network under some of the augmentations"
            draw(title, "gallery.png", viz.gallery, networks, 0, entries=entries)
            return [job() for job in jobs[1:]]

        others = started(meanwhile)
        try:
            found = [jobs[0]()]
        except Exception:
            wait([others])
            raise
        found += others.result()
        rows = {name: row for some, _ in found for name, row in some.items()}
        titles = {name: size.rows[name].title for name in rows}
        histories = {title: lines for _, some in found for title, lines in some.items()}
        draw("Learning curves", "curves.png", viz.curves, histories)
        draw("Test accuracy", "scores.png", viz.scores, {titles[name]: row for name, row in rows.items()})
    known = about(networks, "wsjax demo --quick" if quick else "wsjax demo", spent)
    files.write_json(out / "results.json", {**rows, "about": known})
    write_report(out, rows, titles, figures, known, WARNING if quick else "")
    say(f"\n{gain_line(rows)}\n\n{summary_table(rows, titles)}\n\n{time_line(known)}")
    say(f"results.json, the figures and report.html are in {out}" + f"\n{WARNING}" * quick)
    return rows


def say(text: str) -> None:
    print(text, flush=True)


def started(job: Callable[[], T]) -> "Future[T]":
    """A job in a thread of its own, which keeps no process from ending."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def gain_line(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What augmentation gives the DWS reader, beside the larger of the two deviations."""
    plain, augmented = (rows[name] for name in ("reader", "reader_augmented"))
    gain = augmented["test_accuracy_mean"] - plain["test_accuracy_mean"]
    deviations = [row["test_accuracy_sd"] for row in (plain, augmented) if row["test_accuracy_sd"] is not None]
    line = f"augmentation changes the test accuracy of DWS by {100 * gain:+.1f} points"
    if deviations:
        line += f"; the larger of its two deviations over seeds is {100 * max(deviations):.1f}"
    return line


def time_line(known: Mapping[str, Any]) -> str:
    """How long the demonstration took, and how much of that was compilation."""
    compiling = f"programs were compiled during {known['compile_seconds']:.0f} s of it ({known['programs']} programs)"
    return f"{known['seconds']:.0f} s; {compiling}"


def about(networks: data.WeightDataset, command: str, spent: Mapping[str, Any]) -> dict[str, Any]:
    """The machine, the versions and the time of the measurement."""
    return {
        "command": command,
        "networks": {name: len(networks.split(name)) for name in data.sources.SPLITS},
        "psnr_mean": float(networks.columns["psnr"].mean()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "wsjax": __version__,
        **{name: spent[name] for name in ("seconds", "compile_seconds", "programs")},
    }


def write_report(
    out: Path, rows: Mapping[str, Any], titles: Mapping[str, str], figures: Mapping[str, Path], known: Any, warning: str
) -> None:
    """report.html: the gain, the scores, every figure, the machine, and the next commands."""
    gained = f"{gain_line(rows)[0].upper()}{gain_line(rows)[1:]}.\n\n{CHOICE}\n\n{warning}"
    table = [["", "train (last epoch)", "validation", "test"]]
    table += [[titles[name], f"{row['train_accuracy_mean']:.1%}", *spreads(row)] for name, row in rows.items()]
    protocol = (
        f"{sum(known['networks'].values())} small networks, one fitted to each image of a digit, of which "
        f"{known['networks']['train']} train the readers. DWS and WeightGCN receive the weights of a network; the "
        f"probing reader runs the network at learned points. Means and sample deviations over seeds; settings and "
        f"epoch were chosen on validation, the test split was read once.\n\n"
        f"Augmentation, drawn anew for each network in each step: {RECOMMENDED}"
    )
    next_steps = {
        "train the best reader of weights on these networks": f"wsjax train {out}/digits runs/mine --reader weight_gcn "
        f"--augment recommended",
        "fit networks to photographs": "wsjax fit fashion-mnist runs/fashion --limit 2000",
        "draw one network under every augmentation": f"wsjax show {out}/digits",
    }
    versions = f"Python {known['python']}, JAX {known['jax']}, wsjax {known['wsjax']}"
    machine = f"{known['machine']}; {versions}. {time_line(known)}."
    sections = [Section("What was gained", gained, None, ()), Section("Accuracy", protocol, table, ())]
    sections += [Section(title, "", None, (figure,)) for title, figure in figures.items()]
    sections += [
        Section("The machine", machine, None, ()),
        Section("Next", "", [["", "command"], *map(list, next_steps.items())], ()),
    ]
    viz.report(out / "report.html", "wsjax: what augmentation of weights gives", sections)
