"""The container files are right as far as that can be said without Docker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def compose_errors(path: Path) -> str:
    """Return what the compose-spec schema (a copy comes with check-jsonschema) says against the file."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_compose_file_follows_the_specification() -> None:
    assert compose_errors(ROOT / "docker-compose.yml") == ""


def test_compose_check_can_fail(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text((ROOT / "docker-compose.yml").read_text().replace("healthcheck:", "healthchek:"))
    assert "healthchek" in compose_errors(broken)


def test_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER\s+(\S+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")
