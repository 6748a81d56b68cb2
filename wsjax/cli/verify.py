"""`wsjax verify`."""

from wsjax.cli.arguments import Directory, MaybePath
from wsjax.cli.given import check_dataset


def verify(path: Directory, /, *, sample: int = 64, directory: MaybePath = None) -> None:
    """Check a stored data set: every checksum, and a sample of networks decoded, or run, beside their images.

    Args:
        path: A directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made.
        sample: How many networks to decode or to run.
        directory: Where the IDX files of its source are; else Debian's package or an earlier download.
    """
    from wsjax import data

    check_dataset(path)
    found = data.verify(path, sample=sample, directory=directory)
    print(found)
    if not found.ok:
        raise SystemExit(1)
