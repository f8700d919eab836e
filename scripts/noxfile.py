"""What a change is checked with: `nox -f scripts/noxfile.py -s lint types tests`; `--list` names them all.

Each session makes an environment of its own for the Python that runs nox, or for `--force-python 3.10`.
What follows `--` is handed on: `nox -f scripts/noxfile.py -s tests -- tests/test_rules.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

ROOT = Path(__file__).parent.parent

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
# Environments with pip in them, as users have them: the tests start it.
nox.options.default_venv_backend = "venv"


def installed(session: nox.Session, extras: str) -> None:
    """envfix from this tree with these extras; the session goes on in the tree's root."""
    session.chdir(ROOT)
    session.install("-e", f".[{extras}]")


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: what it finds, and the form of every file"""
    session.chdir(ROOT)
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict"""
    installed(session, "test")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """the fast tests: no GPU, no network"""
    installed(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """the tests that need no GPU and no network either, but seconds each"""
    installed(session, "test")
    session.run("pytest", "-m", "slow and not live", *session.posargs)


@nox.session
def live(session: nox.Session) -> None:
    """real TensorFlow wheels under the driver stub, and the distributions: minutes, 20 GB of disk"""
    installed(session, "test,browser")
    session.run("pytest", "-m", "live", "-rs", "--durations=10", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """the report's page and notebooks in Chromium, real kernels and servers; needs Chromium and npm"""
    installed(session, "test,browser")
    modules = Path(session.create_tmp())
    npm = ("npm", "install", "--silent", "--no-save", "--prefix", str(modules))
    session.run(*npm, "axe-core", external=True)
    axe = os.environ.get("ENVFIX_AXE") or str(modules / "node_modules/axe-core/axe.min.js")
    session.run("pytest", "-m", "browser", "-rs", "--durations=5", *session.posargs, env={"ENVFIX_AXE": axe})


@nox.session
def bench(session: nox.Session) -> None:
    """envfix's times as ratios to what it stands on"""
    installed(session, "test")
    session.run("python", "scripts/bench.py", *session.posargs)
