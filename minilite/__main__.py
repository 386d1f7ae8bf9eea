"""``python -m minilite`` is the command ``minilite``."""

from minilite.cli import main

if __name__ == "__main__":
    main()
