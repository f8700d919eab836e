"""What must not be in a text that is pasted into a public issue: it is taken out here, and nowhere else.

What is known to be private (the user's name, the home folder, the host, values of secret variables) is looked
for as it is; what only has a shape (tokens, addresses, serial numbers) by that shape. Where in doubt it goes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from envfix.model.private import Private
from envfix.printable import clean

SHORTEST_SECRET = 6
# Names that tell nobody apart, and words that the text itself needs.
COMMON = frozenset(
    (
        "admin", "colab", "conda", "container", "cpu", "cuda", "debian", "docker", "envfix", "false", "gpu",
        "home", "jovyan", "kaggle", "keras", "lib", "linux", "localhost", "none", "nvidia", "python",
        "python3", "root", "runner", "tensorflow", "true", "ubuntu", "user", "users", "usr", "vscode",
        "windows",
    )
)  # fmt: skip
# No pattern may look further ahead than what it is for is long: a log's line can be 20 kB of one kind.
_TOKENS = re.compile(
    r"(?:gh[pousr]_|github_pat_|glpat-|hf_|npm_|pypi-|sk-|pk-|xox[a-z]-|ya29\.|AIza|AKIA|ASIA)[\w.=-]{10,}"
    r"|eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"  # JSON Web Token, RFC 7519
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{32,}(?![0-9A-Za-z])"
    r"|(?<![\w+/-])(?=[\w+-]*[0-9])(?=[\w+-]*[A-Z])(?=[\w+-]*[a-z])[A-Za-z0-9_+-]{32,}={0,2}"
)
_NAMED = re.compile(
    r"(?i)((?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|private[_-]?key|credential)"
    r"[\w.-]{0,60}[\"']?\s{0,9}[=:]\s{0,9})(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;]+)"
)
_OPTION = re.compile(
    r"(?i)(--[\w-]{0,60}(?:token|secret|passw|key|auth|credential)[\w-]{0,60}\s{1,9})[^\s-]\S*"
)
_AUTHORISED = re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{6,}")
# Whatever scheme the header names.
_HEADER = re.compile(r"(?i)\b(authorization[\"']?\s{0,9}[=:]\s{0,9}[\"']?)[^\s\"'][^\n\"']*")
_SERIAL = re.compile(r"(?i)\b(serial(?:[ _-]?(?:number|no))?\s*[=:#]?\s*)(?=[\w-]*\d)[\w-]{4,}")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://[^\s\"'`<>|]*")
_PUBLIC = re.compile(r"https?://(?:[\w-]+\.)*(?:tensorflow\.org|nvidia\.com)(?:/[\w./#%-]*)?")
_EMAIL = re.compile(r"[\w.+%-]{1,254}@[\w-]+(?:\.[\w-]+)*")
_UUID = re.compile(
    r"(?i)\b(?:((?:GPU|MIG|PCI)-)[0-9a-f]{8}(?:-[0-9a-f]+)*"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])"
)
# Names of hosts that no public one has: in a cloud, in a company.
_HOST = re.compile(
    r"(?i)\bip(?:-\d{1,3}){4}[\w.-]*|\b(?:[\w-]{1,63}\.){1,8}(?:internal|local|corp|lan|intranet)\b"
)
_QUOTED_PATH = re.compile(r"([\"'`])((?:~|/|\.{1,2}/|[A-Za-z]:[\\/]|\\\\)[^\"'`\n]*)\1")
_MAC = re.compile(r"(?i)(?<![\w:-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![\w:-])")
_ADDRESS = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)|(?<![\w:.])[0-9A-Fa-f:]{3,}(?:[0-9.]+)?(?![\w:])"
)
_HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s:;,\"'`()<>|]+")
_PATH = re.compile(r"(?<![\w/.…>-])(?:~|<folder>|\.{1,2}(?=/)|/(?=[^\s/]))[^\s:;,\"'`()<>|\[\]]*")
_WINDOWS_PATH = re.compile(r"(?<!\w)(?:[A-Za-z]:[\\/]|\\\\)[^\s:;,\"'`()<>|]*")
# As nvidia-smi's table of processes shows the end of a long one.
_CUT_PATH = re.compile(r"(?<![\w/.])\.{3}[^\s|\"'`]{0,200}/[^\s|\"'`]*")
FOLDER = "<folder>"
_PACKAGES = re.compile(r"^.*?/((?:lib/python[\d.]+/)?(?:site|dist)-packages)(?:/(.*))?$")
# Folders and files whose names say nothing of a user.
_ROOTS = re.compile(
    r"^(?:/(?:lib|lib64|lib32|bin|sbin|proc|sys|dev)|/usr/(?:bin|sbin|lib|lib64|share|src|include|libexec)"
    r"|/usr/lib64-nvidia|/usr/local/(?:bin|sbin|lib|lib64|cuda|cuda-[\d.]+|nvidia)|/etc|/opt/(?:bin|conda|nvidia))(?:/|$)"
)
_KNOWN_PACKAGES = frozenset(
    ("cuda", "cupy", "google", "jax", "jaxlib", "keras", "nvidia", "numpy", "tensorflow", "tensorrt", "torch")
)
_KNOWN_FILES = re.compile(
    r"^(?:lib[A-Za-z]+[\w+-]*\.so(?:\.\d+)*|python[\d.]*|pip[\d.]*|nvidia-smi|ptxas|nvcc|libdevice\.[\w.]+)$"
)
# Names of devices in TensorFlow, which begin with a slash too.
_DEVICES = frozenset(("job", "replica", "task", "device", "physical_device", "GPU", "CPU", "gpu", "cpu"))


def masked(text: str, private: Private, *, addresses: bool = True) -> str:
    """The text without anything private, and without what a terminal could misread.

    `addresses=False` leaves numbers such as 12.4.5.8 alone, which are versions where only versions stand.
    """
    text = _known(clean(text), private.secrets, "<secret>", whole_words=False)
    for named in (_HEADER, _NAMED, _OPTION, _AUTHORISED):
        text = named.sub(r"\1<secret>", text)
    text = _TOKENS.sub("<token>", _UUID.sub(_uuid, text))
    text = _URL.sub(_url, text)
    text = _MAC.sub("<mac>", _SERIAL.sub(r"\1<serial>", _EMAIL.sub("<email>", text)))
    text = _QUOTED_PATH.sub(lambda found: f"{found[1]}{_shown(found[2])}{found[1]}", text)
    text = _HOMES.sub("~", _without_folders(text, private))
    text = _CUT_PATH.sub("<path>", text)
    text = _PATH.sub(_path, _WINDOWS_PATH.sub("<path>", text))
    if addresses:
        text = _ADDRESS.sub(_address, text)
    text = _HOST.sub("<host>", _known(text, private.hosts, "<host>", whole_words=True))
    return _known(text, private.users, "<user>", whole_words=True)


def masked_paths(value: str, private: Private) -> str:
    """`masked` of a value that is a path, or several with colons between: there a space does not end one."""
    if not value.startswith(("/", "~")):
        return masked(value, private)
    pieces = [_without_folders(piece, private) for piece in clean(value).split(":")]
    return masked(":".join(_shown(piece) if re.search(r"\s", piece) else piece for piece in pieces), private)


def _without_folders(text: str, private: Private) -> str:
    for folder in sorted(filter(_is_private_folder, private.folders), key=len, reverse=True):
        # Not the beginning of another folder's name.
        text = re.sub(rf"{re.escape(folder.rstrip('/'))}(?![\w.-])", FOLDER, text)
    return text


def _known(text: str, values: Iterable[str], shown: str, *, whole_words: bool) -> str:
    """`values` taken out, the longest first: one may be a part of another."""
    for value in sorted(set(values), key=lambda one: (-len(one), one)):
        shortest = 2 if whole_words else SHORTEST_SECRET
        if len(value) < shortest or value.lower() in COMMON:
            continue
        if whole_words:
            pattern = rf"(?i)(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])"
            text = re.sub(pattern, shown, text)
        else:
            text = text.replace(value, shown)
    return text


def _is_private_folder(folder: str) -> bool:
    """A folder that is worth its own replacement: not the root, and none of the system's."""
    return (
        len(folder.strip("/\\")) > 1 and not _ROOTS.match(folder) and folder not in ("/usr", "/opt", "/root")
    )


def _url(found: re.Match[str]) -> str:
    return found[0] if _PUBLIC.fullmatch(found[0]) else f"{found[1]}://<url>"


def _uuid(found: re.Match[str]) -> str:
    return f"{found[1] or ''}<uuid>"


def _path(found: re.Match[str]) -> str:
    path = found[0].rstrip(".")
    return _shown(path) + found[0][len(path) :]


def _shown(path: str) -> str:
    """A system's path as it is; of any other what every environment has in it, or its well-known name."""
    if path in ("~", FOLDER) or path.lstrip("/").partition("/")[0] in _DEVICES:
        return path
    packages = _PACKAGES.match(path)
    if packages:
        inside = packages[2] or ""
        known = inside.partition("/")[0] in _KNOWN_PACKAGES
        return f"…/{packages[1]}" + (f"/{inside}" if known else "/…" if inside else "")
    if _ROOTS.match(path):
        return path
    name = path.rpartition("/")[2]
    return f"…/{name}" if _KNOWN_FILES.match(name) else "<path>"


def _address(found: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(found[0])
    except ValueError:
        return found[0]
    return found[0] if found[0] in ("::", ":::") else "<address>"
