"""Files written completely or not at all, and Orbax, for `data` and `train`."""
