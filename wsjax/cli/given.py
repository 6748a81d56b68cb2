"""What a command says where a directory is none of the kind that it takes."""

from pathlib import Path


def check_dataset(path: Path) -> None:
    """Raise ValueError for a path that cannot be a data set: none at all, or a training run."""
    made = "expected a directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made"
    if not path.is_dir():
        raise ValueError(f"{path} is no directory; {made}")
    if (path / "run.json").exists():
        raise ValueError(f"{path} is a training run, whose networks are readers; {made}")
