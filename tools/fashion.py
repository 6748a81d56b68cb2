"""Fit Fashion-MNIST, or open what is fitted, and draw it: docs/fashion.png and docs/fashion_psnr.png.

    .venv/bin/python tools/fashion.py runs/fashion-fast             # the 14,000 of docs/data.md: minutes on two cores
    .venv/bin/python tools/fashion.py runs/fashion-all --count 70000
    .venv/bin/python tools/fashion.py /tmp/few --count 60 --docs /tmp/few-figures

A fit that was stopped goes on, and one that is whole is read. The images come from `--directory`, from Debian's package
`dataset-fashion-mnist`, or by a download. The last line says how long the fit took, and with what.
"""

import argparse
import time
from pathlib import Path

import jax

from wsjax import data, viz
from wsjax.data.fitting.recipes import RECIPES
from wsjax.host import use_host_well

SOURCE = "fashion-mnist"
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit Fashion-MNIST and draw it.")
    parser.add_argument("out", type=Path, help="the data set's directory")
    parser.add_argument("--count", type=int, default=14_000, help="images, every split in its proportion")
    parser.add_argument("--recipe", choices=RECIPES, default="fast")
    parser.add_argument("--directory", type=Path, help="of the IDX files")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the figures go")
    args = parser.parse_args()
    use_host_well()
    images = data.limit(data.load_images(SOURCE, args.directory), args.count)
    began = time.perf_counter()
    dataset = data.fit(images, recipe=data.recipe_named(args.recipe), out=args.out)
    spent = time.perf_counter() - began
    args.docs.mkdir(parents=True, exist_ok=True)
    viz.fits(images, dataset, args.docs / "fashion.png")
    viz.quality(dataset, args.docs / "fashion_psnr.png")
    device, psnr = jax.devices()[0], dataset.columns["psnr"]
    print(
        f"{len(dataset):,} networks fitted or read in {spent:.0f} s on {device.device_kind}; PSNR mean "
        f"{psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB; fashion.png and fashion_psnr.png are in {args.docs}"
    )


if __name__ == "__main__":
    main()
