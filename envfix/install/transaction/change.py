"""A change of an environment, from its first file to the check of what is there at its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

from msgspec import structs

from envfix import record
from envfix.aside import Aside
from envfix.errors import InstallFailed
from envfix.install import loader
from envfix.install.transaction import contents, requirements
from envfix.install.transaction.contents import Wrong
from envfix.install.transaction.journal import Moved
from envfix.install.transaction.patience import Patience
from envfix.install.transaction.settling import Settling
from envfix.model.plan import Break
from envfix.model.target import Distribution, Target
from envfix.ports import Outside


class Contended(Exception):
    """The environment was changed by another envfix after it was looked at: all must be decided anew."""


class Change:
    """One change of `target`. Nothing of it is on disk before `begin`. `installer` is what makes it, `seals`
    are those of files that were found right on the way (`envfix.install.seals`)."""

    def __init__(self, outside: Outside, target: Target, reread: Callable[[], Target]) -> None:
        self.outside = outside
        self.target = target
        self.reread = reread
        self.accepted: tuple[Break, ...] = ()
        self.installer = "uv"
        self.seals: tuple[str, ...] = ()
        self._over = threading.Event()
        self._looked: tuple[frozenset[str], Aside[tuple[Wrong, ...]]] | None = None

    @property
    def number(self) -> int | None:
        """Of the transaction that can be rolled back, once it is complete; None where there is none."""
        return None

    def copied_bytes(self, leaving: Collection[str]) -> int:
        """Bytes that keeping what leaves takes."""
        return 0

    @property
    def needs_fetch(self) -> bool:
        """Whether everything must be there before `begin`."""
        return False

    @property
    def lasts(self) -> bool:
        """Whether the change is not over before all of it is on the disk: what is only in memory would be
        lost with the power, whatever a journal says of it. A new environment can be made again, and bringing
        5 GB to the disk is a tenth of its time: as other installers do, that is left to the system."""
        return False

    def begin(
        self, moved: Sequence[Moved], arrives: Sequence[str] | None, accepted: Sequence[Break] = ()
    ) -> None:
        """Called once, right before the first change; `arrives` as `snapshot.take` wants them."""
        self.accepted = tuple(accepted)

    def installed(self, pins: Mapping[str, str], gone: Collection[str]) -> None:
        """The installer is done, and `pins` and what was not among the `gone` should be there: looking at
        what has changed begins, beside what comes after. A pin that is not found is looked at in the end,
        as is the loader."""
        stay = tuple(dist for dist in self.target.installed if dist.name not in {*pins, *gone})
        came = tuple(_found(self.outside, self.target, pins))
        now = structs.replace(self.target, installed=(*stay, *came))
        names = frozenset({dist.name for dist in now.installed} & self._changed(now) - {loader.NAME})
        look = partial(contents.wrong_files, self.outside, now, names, self.seals, self._over)
        self._looked = names, Aside.begun(look)

    def finish(self) -> None:
        """Check what is there now by its content. Raises InstallFailed."""
        self._check(self.reread())

    def give_up(self) -> None:
        """What is still looked at need not be; when this returns, nothing is."""
        self._over.set()
        if self._looked is not None:
            with contextlib.suppress(Exception):  # what went wrong before it is what counts
                self._looked[1].result()

    def after_failure(self) -> str:
        """Put everything back; what is true of the environment then, in words. Raises EnvironmentChanged."""
        return "the new environment is removed again"

    def _check(self, now: Target) -> None:
        settling = Settling(self.outside, self.target.purelib) if self.lasts else nullcontext()
        with Patience(self.outside, "checking what was installed, file by file ..."), settling:
            wrong = self._wrong(now)
        if wrong:
            raise contents.damaged(wrong, self.installer)
        unmet = requirements.newly_unmet(self.target, now, self.accepted)
        if unmet:
            raise InstallFailed("; ".join(map(str, unmet[:3])))

    def _wrong(self, now: Target) -> tuple[Wrong, ...]:
        names, looking = self._looked or (frozenset(), None)
        found = looking.result() if looking is not None else ()
        # What looked wrong beside may be right: a file that another package brings, which is known only now.
        rest = self._changed(now) - names | {one.package for one in found}
        return contents.wrong_files(self.outside, now, rest, self.seals, self._over)

    def _changed(self, now: Target) -> set[str]:
        return {dist.name for dist in now.installed}


def _found(outside: Outside, target: Target, pins: Mapping[str, str]) -> Iterator[Distribution]:
    """Those of the pins whose `.dist-info` is in one of the target's folders, which may be one and the same
    by a link."""
    for site in dict.fromkeys(map(outside.realpath, (target.purelib, target.platlib))):
        for folder in outside.listdir(site):
            if folder.endswith(".dist-info"):
                stem, _, version = folder.removesuffix(".dist-info").partition("-")
                name = record.normalised(stem)
                if pins.get(name) == version:
                    yield Distribution(name=name, version=version, location=f"{site}/{folder}")
