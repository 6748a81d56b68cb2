"""`python -m wsjax`: the command line."""

from wsjax.cli import main

if __name__ == "__main__":
    main()
