"""``python -m osc``: the command line without its script."""

from __future__ import annotations

from osc.cli.main import run

if __name__ == "__main__":
    run()
