"""What an install of a lock cannot go below: its bytes over the network, and out of their wheels."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import requests

from benchmarks.workshop import Failed, Workshop

CONNECTIONS = 8
PIECE = 1 << 20


class Floor(NamedTuple):
    """Seconds, and bytes over the network."""

    download: float
    unpack: float
    size: int

    @property
    def seconds(self) -> float:
        return self.download + self.unpack

    def text(self) -> str:
        both = max(self.download, self.unpack)
        return (
            f"floor: {self.size / 1e9:.2f} GB downloaded in {self.download:.0f} s "
            f"({self.size / self.download / 1e6:.0f} MB/s over {CONNECTIONS} connections), then unpacked in "
            f"{self.unpack:.0f} s by as many processes as cores; what does both at once may come down to "
            f"{both:.0f} s"
        )


def measure(shop: Workshop) -> Floor:
    """Download every file of the bench's lock, and unpack every wheel. Raises Failed."""
    from envfix.reading import parse_toml

    locked = shop.folder / "pylock.envfix.toml"
    packages = parse_toml(locked.read_text(), str(locked))["packages"]
    urls = [package["wheels"][0]["url"] for package in packages]
    wheels, unpacked = shop.folder / "wheels", shop.folder / "unpacked"
    wheels.mkdir()
    try:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            download = _timed(pool, _download, ((url, wheels) for url in urls))
        size = sum(path.stat().st_size for path in wheels.iterdir())
        os.sync()  # an installer that unpacks what comes in has no wheels to write out meanwhile
        cores = os.cpu_count() or 1
        with ProcessPoolExecutor(cores) as pool:
            unpack = _timed(pool, _unpack, ((share, unpacked) for share in shares(wheels, cores)))
    except (OSError, zipfile.BadZipFile) as problem:  # requests' errors are OSErrors
        raise Failed(f"the floor could not be measured: {problem}") from problem
    finally:
        shop.remove("wheels", "unpacked")
    return Floor(download, unpack, size)


def _timed(pool: Executor, work: Callable[..., None], jobs: Iterable[tuple[Any, ...]]) -> float:
    start = time.perf_counter()
    for done in [pool.submit(work, *job) for job in jobs]:
        done.result()
    return time.perf_counter() - start


def _download(url: str, folder: Path) -> None:
    parts = urlsplit(url)
    name = unquote(parts.path).rpartition("/")[2]
    if parts.scheme == "file":
        (folder / name).write_bytes(Path(unquote(parts.path)).read_bytes())
        return
    with requests.get(url, stream=True, timeout=60) as answer, (folder / name).open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_content(PIECE):
            file.write(piece)


def shares(wheels: Path, count: int) -> list[dict[Path, list[str]]]:
    """What each of `count` processes unpacks: files by their wheel, about as many bytes for each process.

    By wheels one process would have the largest, with TensorFlow's own library, to itself.
    """
    sizes = []
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            sizes += [(info.file_size, wheel, info.filename) for info in archive.infolist()]
    taken = [0] * count
    found: list[dict[Path, list[str]]] = [{} for _ in range(count)]
    for size, wheel, name in sorted(sizes, reverse=True):
        least = taken.index(min(taken))
        taken[least] += size
        found[least].setdefault(wheel, []).append(name)
    return found


def _unpack(share: dict[Path, list[str]], folder: Path) -> None:
    for wheel, names in share.items():
        root = folder / wheel.stem
        # `extractall` makes them too, and fails where another process has just made one (Python 3.11).
        for parent in {(root / name).parent for name in names}:
            parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root, names)
