"""The product as a user has it: a wheel, built from this tree and installed into an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(place: Path) -> Path:
    """Build the wheel, install it below ``place`` and return the path of its ``osc`` command.

    What osc depends on is taken from the environment of the tests: it is osc that is tried, and no index is asked.
    """
    run = {"check": True, "capture_output": True, "text": True, "cwd": ROOT}
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place / "dist"), str(ROOT)]
    subprocess.run(build, **run)  # type: ignore[call-overload]
    (wheel,) = (place / "dist").glob("osc_postgres-*.whl")
    home = place / "installed"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], **run)  # type: ignore[call-overload]
    python = home / "bin" / "python"
    # The pip that is there: one of its own would take longer to come than all else.
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    pip += ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel)], **run)  # type: ignore[call-overload]
    (library,) = (home / "lib").glob("python*/site-packages")
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run(
        [str(python), "-P", "-c", "import osc; print(osc.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
    ).stdout
    assert str(home) in where, f"not the wheel but {where}"
    return home / "bin" / "osc"
