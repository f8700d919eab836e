"""pip-tools as the resolver: pip's own backtracking resolver for the pins, the index for the files.

pip-tools resolves for the interpreter it runs in: pip's `--python-version` and `--platform` never reach the
finder that pip-tools builds (`PyPIRepository.__init__` gives it no target), and pip evaluates markers with
the running interpreter in any case. So it runs in the target itself: from the target's own site-packages
where it is installed there, else from envfix's (all of it is pure Python).

`--generate-hashes` is not asked for: where an index has no JSON API, pip-tools downloads every file of
every pin to hash it, for TensorFlow gigabytes. The digests are those of the index's own page.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_sdist_filename
from packaging.version import Version

from envfix.errors import IndexUnreachable, InputError, ResolutionFailed
from envfix.installers import pip_environment
from envfix.model.filenames import wheel_name
from envfix.model.plan import LockedFile, LockedPackage, Resolution
from envfix.model.target import PipConfig, Target
from envfix.model.urls import redact, without_credentials
from envfix.ports import Index, IndexFile, Outside, Resolver
from envfix.resolve.constraint_files import blamed
from envfix.resolve.find_links import find_links_files
from envfix.resolve.pip_tools_failure import failure, reason
from envfix.resolve.places import is_remote
from envfix.resolve.staying import installed_versions
from envfix.resolve.unavailable import holds_none
from envfix.resolve.wheels import installable, target_tags

TIME_LIMIT = 1800.0
# What pip's explanation names: it may have no versions because a page could not be fetched.
_NAMED = re.compile(r"(?:depends on|requested|the requirement) ([A-Za-z0-9][A-Za-z0-9._-]*)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INSTALL = "pip install 'envfix-tf[pip-tools]'"


class PipToolsResolver(Resolver):
    """`index` is asked for the files of the pins; `index_date` (RFC 3339) leaves out later uploads."""

    def __init__(self, outside: Outside, index: Index, index_date: str | None = None) -> None:
        self.outside = outside
        self.index = index
        environ = outside.environ
        self.index_date = (
            index_date or environ.get("UV_EXCLUDE_NEWER") or environ.get("PIP_UPLOADED_PRIOR_TO")
        )

    def resolve(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        config: PipConfig,
        *,
        offline: bool,
    ) -> Resolution:
        if offline:
            _check_local(config)
        pins = self._pins(requirements, constraints, target, config, offline)
        tags = target_tags(target)
        local = find_links_files(self.outside, config.find_links, frozenset(pins))
        packages = [
            _package(name, version, self._files(name, version, target), local, tags, target)
            for name, version in sorted(pins.items())
        ]
        return Resolution(packages=tuple(packages), resolver="pip-tools")

    def _pins(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        config: PipConfig,
        offline: bool,
    ) -> dict[str, Version]:
        env = pip_environment(self.outside.environ, config, offline=offline)
        python = _runner(self.outside, target, env)
        folder = self.outside.temporary_dir()
        # Their addresses may hold credentials, and everybody can read a command line.
        pages = [f"-c {place}" for place in config.constraints if is_remote(place)]
        self.outside.write_text(
            f"{folder}/requirements.in", "\n".join([*pages, *requirements]) + "\n", lasting=False
        )
        self.outside.write_text(f"{folder}/caps.txt", "\n".join(constraints) + "\n", lasting=False)
        # pip-compile keeps the pins of the file it writes, where they fit.
        staying = [f"{name}=={version}\n" for name, version in installed_versions(target).items()]
        self.outside.write_text(f"{folder}/pins.txt", "".join(staying), lasting=False)
        argv = [python, "-m", "piptools", "compile", "requirements.in", "--output-file", "pins.txt"]
        # Without it pip does not say which requirements conflict.
        argv += ["--verbose"]
        argv += ["--no-config", "--no-header", "--no-annotate", "--strip-extras", "--allow-unsafe"]
        argv += ["--no-emit-options", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
        argv += ["--resolver", "backtracking", "--rebuild", "--newline", "lf", "--no-color"]
        # Metadata by range requests, where the index serves none: whole TensorFlow wheels otherwise.
        argv += ["--pip-args", "--use-feature=fast-deps", "--cache-dir", f"{folder}/cache"]
        bound = [place for place in config.constraints if not is_remote(place)]
        for file in [*bound, f"{folder}/caps.txt"]:
            argv += ["--constraint", file]
        if self.index_date:
            argv += ["--uploaded-prior-to", self.index_date]
        ran = self.outside.run(argv, timeout=TIME_LIMIT, env=env, cwd=folder)
        if not ran.ok:
            if not ran.timed_out:
                self._ask_again(f"{ran.out}\n{ran.err}", requirements, config)
            raise blamed(self.outside, failure(ran, TIME_LIMIT, offline), bound)
        return read_pins(self.outside.read_text(f"{folder}/pins.txt"))

    def _ask_again(self, said: str, requirements: Sequence[str], config: PipConfig) -> None:
        """Raises what an index says to us: IndexUnreachable where a page that pip went on without does not
        come now either, InputError for an index that has not one of the projects.

        pip takes a page that it cannot fetch for a project that is not there.
        """
        roots = [canonicalize_name(found[0]) for line in requirements if (found := _NAME.match(line))]
        named = sorted({canonicalize_name(found[1]) for found in _NAMED.finditer(said)})
        has = {name: bool(self.index.files(name)) for name in named}
        local = find_links_files(self.outside, config.find_links, frozenset(roots))
        if roots and not any(name in local or has.get(name) or self.index.files(name) for name in roots):
            raise holds_none(self.outside.environ, config, roots, uv=False)

    def _files(self, name: str, version: Version, target: Target) -> list[IndexFile]:
        """The files of one pin that the target's Python may have, uploaded in time."""
        return [
            file
            for file in self.index.files(name)
            if _version_of(file.filename) == version
            and _allows(file.requires_python, target)
            and not (self.index_date and file.upload_time and file.upload_time[:10] > self.index_date[:10])
        ]


def _check_local(config: PipConfig) -> None:
    """Raises IndexUnreachable for a setting that pip could only follow over the network."""
    index = [] if config.no_index else [config.index_url or "", *config.extra_index_urls]
    remote = [place for place in (*index, *config.find_links, *config.constraints) if is_remote(place)]
    if remote or "" in index:
        what = f"`{redact(remote[0])}`" if remote else "the package index"
        raise IndexUnreachable(
            f"--offline: pip-tools would read {what} anew for every resolution", "--resolver uv has a cache"
        )


def read_pins(text: str) -> dict[str, Version]:
    """Normalised names to versions in what pip-tools printed. Raises ResolutionFailed for a URL in it."""
    pins: dict[str, Version] = {}
    for line in text.splitlines():
        line = line.split(" #")[0].strip()
        if not line or line.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            raise ResolutionFailed(f"pip-tools printed `{redact(line)}`, which is no pin") from None
        exact = [part.version for part in requirement.specifier if part.operator in ("==", "===")]
        if requirement.url or len(exact) != 1:
            raise ResolutionFailed(
                f"`{requirement.name}` comes from a URL or folder and cannot be locked by version and hash",
                f"name a released version: --with {requirement.name}",
            )
        pins[canonicalize_name(requirement.name)] = Version(exact[0])
    return pins


def _runner(outside: Outside, target: Target, env: dict[str, str]) -> str:
    """The interpreter to run pip-tools in; `env` is completed so that it finds it there."""
    if not target.executable or not outside.exists(target.executable):
        raise InputError(
            f"pip-tools resolves only for an interpreter that is here, found no Python {target.feature}",
            "--resolver uv resolves for any",
        )
    if outside.run([target.executable, "-c", "import piptools, pip"], timeout=60, env=env).ok:
        return target.executable
    spec = importlib.util.find_spec("piptools")
    if spec is None:
        raise InputError("`--resolver pip-tools` needs pip-tools, found none", _INSTALL)
    for distribution in ("pip-tools", "pip"):
        needs = str(importlib.metadata.metadata(distribution).json.get("requires_python", ">=3"))
        if not _allows(needs, target):
            raise InputError(
                f"`{distribution}` {importlib.metadata.version(distribution)} needs Python {needs}, "
                f"the target is {target.python}",
                "--resolver uv resolves for any",
            )
    env["PYTHONPATH"] = str(Path(str(spec.origin)).parent.parent)
    tried = outside.run([target.executable, "-m", "piptools", "compile", "--version"], timeout=60, env=env)
    if not tried.ok:
        raise InputError(
            f"pip-tools of envfix does not run in Python {target.python}: {reason('', tried.err)}",
            f"{shlex.quote(target.executable)} -m pip install pip-tools",
        )
    return target.executable


def _package(
    name: str,
    version: Version,
    files: list[IndexFile],
    local: dict[str, tuple[LockedFile, ...]],
    tags: dict,  # type: ignore[type-arg]
    target: Target,
) -> LockedPackage:
    candidates = [file for file in local.get(name, ()) if _version_of(file.filename) == version]
    # One file may be on several indexes; the first that has it is taken, as pip does.
    candidates += [_locked(file) for file in files]
    candidates = list({(file.filename, file.sha256): file for file in reversed(candidates)}.values())[::-1]
    wheels = installable([file for file in candidates if file.filename.endswith(".whl")], tags)
    sdists = [file for file in candidates if file.filename.endswith((".tar.gz", ".zip"))]
    sdist = sdists[0] if sdists and not wheels else None
    if not wheels and sdist is None:
        raise ResolutionFailed(
            f"`{name}` {version} has no file that Python {target.feature} on {target.os.value} "
            f"{target.arch.value} can install"
        )
    return LockedPackage(name=name, version=str(version), wheels=wheels, sdist=sdist)


def _locked(file: IndexFile) -> LockedFile:
    if file.sha256 is None:
        raise ResolutionFailed(
            f"the index gives no SHA-256 for {redact(file.url)}", "use an index that serves hashes"
        )
    return LockedFile(
        filename=file.filename, url=without_credentials(file.url), sha256=file.sha256, size=file.size
    )


def _version_of(filename: str) -> Version | None:
    try:
        if filename.endswith(".whl"):
            named = wheel_name(filename)
            return named.version if named else None
        return parse_sdist_filename(filename)[1]
    except ValueError:
        return None  # no installer takes a file whose name says no version


def _allows(requires_python: str | None, target: Target) -> bool:
    try:
        return requires_python is None or SpecifierSet(requires_python).contains(str(target.python))
    except ValueError:
        return True  # pip ignores one that does not parse
