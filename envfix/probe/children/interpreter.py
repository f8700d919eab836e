"""What a Python interpreter is and what is installed in it, as one marked JSON line.

Runs inside the target interpreter (Python 3.7 syntax, standard library only, no module that is slow to
import) with `-I -S`: the `.pth` files of the environment are not executed, since they may import half of it,
print, or hang.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import site
import sys

MARK = "envfix-interpreter:"
HEADER_BYTES = 1 << 16
TYPE_CHECKING = False  # importing typing for its own would cost more than the rest
if TYPE_CHECKING:
    from typing import Any


def enter_environment() -> None:
    """Set sys.prefix as `site` would in a virtual environment, without running `.pth` files."""
    steps: Any = site
    steps.addpackage = lambda *arguments, **options: None
    with contextlib.suppress(AttributeError):  # an interpreter whose site module has no such step
        steps.venv(set())


def library_folders() -> list[str]:
    """Where `import` finds distributions, in the order in which one hides another."""
    folders = []
    # As `site` does: a virtual environment sees the user's packages only where it sees the system's.
    sees_system = getattr(sys, "base_prefix", sys.prefix) in getattr(site, "PREFIXES", ())
    if sees_system and not os.environ.get("PYTHONNOUSERSITE") and hasattr(site, "getusersitepackages"):
        folders.append(site.getusersitepackages())
    folders += site.getsitepackages()
    folders += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for folder in list(folders):
        folders += linked_folders(folder)
    return list(dict.fromkeys(folder for folder in folders if os.path.isdir(folder)))


def linked_folders(folder: str) -> list[str]:
    """The folders that the `.pth` files of `folder` name (editable installs of the old kind)."""
    found: list[str] = []
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    except OSError:
        return found
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                lines = file.read(HEADER_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.strip() and not line.startswith(("#", "import ", "import\t")) and "\0" not in line:
                path = os.path.normpath(os.path.join(folder, line.strip()))
                if os.path.isdir(path):
                    found.append(path)
    return found


def distributions() -> list[list[Any]]:
    """[name, version, requirements, folder, installer] of every distribution; the first of a name counts."""
    seen: dict[str, list[Any]] = {}
    for folder in library_folders():
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")) and not name.startswith("~"):
                one = distribution(folder, name)
                if one is not None:
                    seen.setdefault(re.sub(r"[-_.]+", "-", one[0]).lower(), one)
    return [[name, *one[1:]] for name, one in sorted(seen.items())]


def distribution(folder: str, name: str) -> list[Any] | None:
    """One distribution by its metadata, as in `distributions`; None where it has no name or version."""
    place = os.path.join(folder, name)
    is_egg = name.endswith(".egg-info")
    main = (
        place
        if is_egg and os.path.isfile(place)
        else os.path.join(place, "PKG-INFO" if is_egg else "METADATA")
    )
    fields = header(main)
    if not fields.get("name") or not fields.get("version"):
        return None
    requires = fields["requires-dist"] or (
        egg_requires(os.path.join(place, "requires.txt")) if is_egg else []
    )
    return [fields["name"], fields["version"], requires, folder, first_line(os.path.join(place, "INSTALLER"))]


def header(path: str) -> dict[str, Any]:
    """Name, Version and Requires-Dist of a metadata file, whose long description is not parsed."""
    fields: dict[str, Any] = {"requires-dist": []}
    try:
        with open(path, "rb") as file:
            text = file.read(HEADER_BYTES)
            while b"\n\n" not in text and b"\r\n\r\n" not in text:
                more = file.read(HEADER_BYTES)
                if not more:
                    break
                text += more
    except OSError:
        return fields
    for line in text.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].split(b"\n"):
        key, colon, value = line.partition(b":")
        key = key.lower()
        if colon and key in (b"name", b"version"):
            fields.setdefault(key.decode(), value.decode("utf-8", "replace").strip())
        elif colon and key == b"requires-dist":
            fields["requires-dist"].append(value.decode("utf-8", "replace").strip())
    return fields


def egg_requires(path: str) -> list[str]:
    """The requirements of an egg's requires.txt; a `[:marker]` section carries its marker."""
    try:
        with open(path, "rb") as file:
            lines = file.read(HEADER_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found, marker = [], ""
    for line in (line.strip() for line in lines):
        section = re.match(r"\[([^:\]]*)(?::(.*))?\]$", line)
        if section:
            extra = 'extra == "{}"'.format(section.group(1)) if section.group(1) else ""
            marker = " and ".join(part for part in (section.group(2), extra) if part)
        elif line and not line.startswith("#"):
            found.append("{}; {}".format(line, marker) if marker else line)
    return found


def first_line(path: str) -> str:
    """The first line of a small file, empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(100).decode("utf-8", "replace").strip().split("\n")[0]
    except OSError:
        return ""


def machine_name() -> str:
    """The architecture the interpreter is built for, which the kernel's may exceed."""
    import sysconfig

    if sys.maxsize <= 1 << 32:
        return sysconfig.get_platform() + " (32 bits)"
    if hasattr(os, "uname"):
        return os.uname().machine
    return sysconfig.get_platform().rpartition("-")[2]


def glibc() -> str:
    """The release of the GNU C library, empty where there is another."""
    try:
        name, _, release = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return ""
    return release if name == "glibc" else ""


def headers(virtual: bool) -> str:
    """Where wheels' headers go: pip and uv keep a virtual environment's apart from its interpreter's."""
    import sysconfig

    if virtual:
        return os.path.join(sys.prefix, "include", "site", "python{}.{}".format(*sys.version_info[:2]))
    return sysconfig.get_path("include")


def describe() -> dict[str, Any]:
    """What the interpreter is, where it installs to and what is installed; paths as `sysconfig` has them."""
    import sysconfig

    virtual = sys.prefix != getattr(sys, "base_prefix", sys.prefix) or hasattr(sys, "real_prefix")
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return {
        "executable": sys.executable,
        "implementation": sys.implementation.name,
        "system": sys.platform,
        "machine": machine_name(),
        "glibc": glibc(),
        "prefix": sys.prefix,
        "base_prefix": getattr(sys, "real_prefix", getattr(sys, "base_prefix", sys.prefix)),
        "purelib": sysconfig.get_path("purelib"),
        "platlib": sysconfig.get_path("platlib"),
        "scripts": sysconfig.get_path("scripts"),
        "data": sysconfig.get_path("data"),
        "headers": headers(virtual),
        "virtual": virtual,
        "externally_managed": marker if not virtual and os.path.exists(marker) else "",
        "installed": distributions(),
    }


def main() -> None:
    """Print the marked line."""
    enter_environment()
    answer = {"python": "{}.{}.{}".format(*sys.version_info[:3]), **describe()}
    sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()


main()
