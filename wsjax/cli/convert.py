"""`wsjax convert`."""

from wsjax.cli.arguments import Directory, Format, Json, Out
from wsjax.cli.given import parse_settings


def convert(format: Format, source: Directory, out: Out, /, *, options: Json = "{}") -> None:
    """Store a public weight data set as ours, or export one of ours.

    Args:
        format: One of dws-mnist, dws-fashion-mnist, dws-fashion-multiview, nfn-sirens, fit-a-nef, state-dicts,
            small-cnn-zoo, hsg-zoo, cnn-park, arrays; to-state-dicts or to-arrays to export.
        source: The directory to read.
        out: A new directory.
        options: The format's own options as JSON, e.g. '{"views": 3}'.
    """
    from wsjax import data

    made = data.formats.convert(format, source, out, **parse_settings(options, name="options"))
    print(f"{made!r} is in {out}")
