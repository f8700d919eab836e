"""Which CUDA libraries TensorFlow opens, and whether the environment or the system has each.

TensorFlow opens them by soname when it first looks for a GPU; one that is missing costs the GPU ("Cannot
dlopen some GPU libraries").
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from envfix import record
from envfix.install.digests import digests
from envfix.model.machine import Machine, known
from envfix.model.target import Distribution, Target
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.ports import Outside

# The sonames of each CUDA major. They do not follow the toolkit: cuSOLVER is `.11` in CUDA 11 and 12, cuFFT
# `.11` in CUDA 12, and every CUDA 11 has `libcudart.so.11.0` (seen in the NVIDIA wheels).
SONAMES = {
    11: (
        "libcudart.so.11.0", "libcublas.so.11", "libcublasLt.so.11", "libcufft.so.10", "libcurand.so.10",
        "libcusolver.so.11", "libcusparse.so.11",
    ),
    12: (
        "libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12", "libcufft.so.11", "libcusolver.so.11",
        "libcusparse.so.12",
    ),
}  # fmt: skip


class LibrarySearch(Struct, frozen=True, kw_only=True):
    """Where each needed soname was found, and which are nowhere."""

    found: dict[str, str]
    missing: tuple[str, ...]


def needed_sonames(cuda: CudaRelease, cudnn: CudnnRelease | None) -> tuple[str, ...]:
    """The sonames that a wheel built with `cuda` and `cudnn` opens; empty for a CUDA major not known."""
    names = SONAMES.get(cuda.major, ())
    return (*names, f"libcudnn.so.{cudnn.major}") if cudnn and names else names


def find_libraries(outside: Outside, sonames: Sequence[str], folders: Sequence[str]) -> LibrarySearch:
    """Look for each soname in the folders, in order; a dangling link is missing."""
    found: dict[str, str] = {}
    for soname in sonames:
        for folder in folders:
            path = f"{folder}/{soname}"
            if outside.exists(path):
                found[soname] = path
                break
    return LibrarySearch(found=found, missing=tuple(name for name in sonames if name not in found))


def wheel_folders(outside: Outside, site_packages: Sequence[str]) -> tuple[str, ...]:
    """The library folders of the NVIDIA wheels below the site-packages folders."""
    return tuple(path for site in dict.fromkeys(site_packages) for path in outside.glob(site, "nvidia/*/lib"))


def system_folders(outside: Outside, machine: Machine) -> tuple[str, ...]:
    """Where the system keeps CUDA libraries: LD_LIBRARY_PATH, toolkit, cuDNN, the distribution's folders."""
    folders = [part for part in outside.environ.get("LD_LIBRARY_PATH", "").split(":") if part.startswith("/")]
    toolkit, cudnn = known(machine.toolkit, None), known(machine.cudnn, None)
    if toolkit and known(toolkit.path, ""):
        folders += [
            f"{toolkit.path}/lib64",
            f"{toolkit.path}/lib",
            f"{toolkit.path}/targets/x86_64-linux/lib",
        ]
    if cudnn and known(cudnn.path, ""):
        folders += [str(cudnn.path), f"{cudnn.path}/lib64", f"{cudnn.path}/lib"]
    return (*folders, "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib")


class Damage(Struct, frozen=True, kw_only=True):
    """A file of an installed wheel that is not what its RECORD says, and how it is not."""

    package: str
    path: str
    how: str


def damages(outside: Outside, target: Target) -> tuple[Damage, ...]:
    """What the installed NVIDIA wheels lack, by content: libraries that are gone, cut short or another's.

    Wheels share folders below `nvidia/`: uninstalling one of another package's can take along a file that
    TensorFlow needs, and installing it puts its own in the place.
    """
    found: list[Damage] = []
    claims: list[tuple[Distribution, str, bytes]] = []
    for dist in target.installed:
        place = record.place_of(outside, dist, target) if dist.name.startswith("nvidia-") else None
        if place is None:
            continue  # no wheel (another packager's metadata), so that nothing says what belongs to it
        files = record.recorded_files(outside, place.info)
        if files is None:
            found.append(Damage(package=dist.name, path=f"{place.info}/RECORD", how="is gone"))
            continue
        for name, file in files.items():
            path = f"{place.base}/{name}"
            if not is_library(path):
                continue
            if wrong := _wrong_size(outside, path, file.size):
                found.append(Damage(package=dist.name, path=path, how=wrong))
            elif file.digest is not None:
                claims.append((dist, path, file.digest))
    return (*found, *_overwritten(outside, claims))


def lost_files(outside: Outside, target: Target, names: Collection[str]) -> tuple[Damage, ...]:
    """The files of the installed distributions `names` that are gone or of another size than their RECORD
    says: of 20,000 files only the sizes are looked at, which takes 0.1 s. One that several bring is right
    where it has the size that one of them says."""
    claims: dict[str, list[tuple[str, int | None]]] = {}
    for dist in target.installed:
        place = record.place_of(outside, dist, target) if dist.name in names else None
        if place is None:
            continue
        # An installer writes its notes and scripts anew for each environment.
        notes = (f"{place.info.rpartition('/')[2]}/", "../", "/")
        for name, said in (record.said_of_files(outside, place.info) or {}).items():
            if said.startswith("sha256=") and not name.startswith(notes):
                claims.setdefault(f"{place.base}/{name}", []).append((dist.name, record.size_in(said)))
    found = []
    for path, said_by in claims.items():
        wrong = {package: _wrong_size(outside, path, size) for package, size in said_by}
        if all(wrong.values()):
            found += [Damage(package=package, path=path, how=how) for package, how in wrong.items()]
    return tuple(found)


def is_library(path: str) -> bool:
    """Whether it is a shared library of an NVIDIA wheel, by where it is and its name."""
    folder, _, name = path.rpartition("/")
    return "/nvidia/" in f"{folder}/" and ".so" in name


def _wrong_size(outside: Outside, path: str, size: int | None) -> str:
    """A full disk leaves files that are too short, which the loader refuses as they are opened."""
    found = outside.size(path)
    if found is None:
        return "is gone"
    return "" if size in (None, found) else f"has {found} bytes, not {size}"


def _overwritten(outside: Outside, claims: Sequence[tuple[Distribution, str, bytes]]) -> Iterator[Damage]:
    now = digests(outside, (path for _, path, _ in claims))
    for dist, path, digest in claims:
        if now[path] == digest:
            continue
        owner = next((other for other, same, its in claims if same == path and its == now[path]), None)
        how = (
            f"is that of {owner.name} {owner.version}" if owner else "has another content than in its RECORD"
        )
        yield Damage(package=dist.name, path=path, how=how)
