"""What the commands' arguments are called in their help."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Spec = Annotated[str, arg(metavar="SPEC")]
Json = Annotated[str, arg(metavar="JSON")]
Source = Annotated[Positional[str], arg(metavar="SOURCE")]
Format = Annotated[Positional[str], arg(metavar="FORMAT")]
Directory = Annotated[Positional[Path], arg(metavar="PATH")]
Dataset = Annotated[Positional[Path], arg(metavar="DATASET")]
Run = Annotated[Positional[Path], arg(metavar="RUN")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]
# What nobody gives is decided elsewhere, as the help says: it has no default to show.
MaybeWhole = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
MaybeNumber = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
MaybeText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
Hidden = Annotated[tuple[int, ...] | None, arg(metavar="INT ...", help_behavior_hint="")]
Stops = Annotated[tuple[int, ...], arg(metavar="INT ...", help_behavior_hint="(default: none)")]
Imports = Annotated[tuple[str, ...], arg(name="import", metavar="MODULE ...", help_behavior_hint="(default: none)")]
MaybePath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
