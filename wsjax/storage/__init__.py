"""Files written completely or not at all: JSON with checksums, digests, locks and Orbax, for `data` and `train`."""
