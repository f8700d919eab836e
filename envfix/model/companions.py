"""Packages that go with some TensorFlow releases alone, as values of `compat_matrix/companions.yaml`."""

from __future__ import annotations

from msgspec import Struct

from envfix.model.versions import PythonRelease


class Companion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which TensorFlow the versions of a companion go with.

    `version` and `tensorflow` are specifiers. `python` lists the Pythons with a wheel for Linux on x86_64
    (empty: any). `undeclared` says that no METADATA tells, so that a resolver cannot know; `needs` names what
    it imports without declaring it, `extra` its own extra that brings these.
    """

    name: str
    version: str
    tensorflow: str
    source: str
    python: tuple[PythonRelease, ...] = ()
    undeclared: bool = False
    needs: tuple[str, ...] = ()
    extra: str = ""


class CompanionTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`companions.yaml`: the rows of a companion ascending."""

    companions: tuple[Companion, ...]
