"""Opens the CUDA libraries that TensorFlow will ask for, by path, before it asks (installed by envfix).

Which ones follows from what the installed TensorFlow says it was built with; where they are, from
`_envfix_loader.json` (a system CUDA) and from the `nvidia-*` wheels. All paths are found anew at each import,
so that an environment that was moved or upgraded goes on working. Python 3.7 syntax, standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

# Sonames by major of the wheel's CUDA, what a library needs before the library itself. Read from the
# DT_SONAME and DT_NEEDED of NVIDIA's wheels. `cudnn` stands for the family below.
SONAMES = {
    "11": (
        "libcudart.so.11.0 libnvrtc.so.11.2 libcublasLt.so.11 libcublas.so.11 libcufft.so.10 libcurand.so.10 "
        "libcusparse.so.11 libcusolver.so.11 cudnn libnccl.so.2 libcupti.so.11.8"
    ),
    "12": (
        "libcudart.so.12 libnvJitLink.so.12 libnvrtc.so.12 libcublasLt.so.12 libcublas.so.12 libcufft.so.11 "
        "libcurand.so.10 libcusparse.so.12 libcusolver.so.11 cudnn libnccl.so.2 libcupti.so.12"
    ),
    "13": (
        "libcudart.so.13 libnvJitLink.so.13 libnvrtc.so.13 libcublasLt.so.13 libcublas.so.13 libcufft.so.12 "
        "libcurand.so.10 libcusparse.so.12 libcusolver.so.12 cudnn libnccl.so.2 libcupti.so.13"
    ),
}
# libcudnn opens its parts by soname at first use, and LD_LIBRARY_PATH goes before its RUNPATH: without this a
# stray copy of another release would be mixed in.
CUDNN = {
    "8": "ops_infer ops_train cnn_infer cnn_train adv_infer adv_train",
    "9": "graph ops engines_runtime_compiled engines_precompiled heuristic cnn adv",
}


def preload(package: str) -> None:
    """Open the libraries for the TensorFlow whose package folder this is, and show XLA its tools."""
    if os.environ.get("ENVFIX_LOADER") == "0" or not sys.platform.startswith("linux"):
        return
    built = built_with(package)
    if built is None:
        debug("this TensorFlow is not built with CUDA")
        return
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "_envfix_loader.json")) as source:
        config = json.load(source)
    vendors = vendor_folders(package, here)
    folders = config["folders"] + wheel_folders(vendors)
    if not any(opened(name) for name in ["libcuda.so.1", *candidates("libcuda.so.1", folders)]):
        debug("there is no driver, so TensorFlow will not ask for CUDA libraries")
        return
    for soname in sonames(*built):
        open_once(soname, folders)
    roots = [config["cuda_data_dir"]] if config["cuda_data_dir"] else []
    roots += [os.path.join(vendor, name) for name in ("cu" + built[0], "cuda_nvcc") for vendor in vendors]
    show_tools(roots)


def debug(text: object) -> None:
    if os.environ.get("ENVFIX_LOADER_DEBUG") == "1":
        sys.stderr.write("envfix loader: %s\n" % text)


def built_with(package: str) -> Optional[Tuple[str, str]]:
    """The majors of CUDA and cuDNN in TensorFlow's own build_info.py; None for a build without CUDA."""
    with open(os.path.join(package, "python", "platform", "build_info.py")) as source:
        text = source.read()
    cuda = re.search("['\"]cuda_version['\"][,:] *['\"]([0-9]+)", text)
    cudnn = re.search("['\"]cudnn_version['\"][,:] *['\"]([0-9]+)", text)
    return (cuda.group(1), cudnn.group(1)) if cuda and cudnn else None


def vendor_folders(package: str, here: str) -> List[str]:
    """The `nvidia` folders beside TensorFlow and beside this module (purelib and platlib may differ)."""
    sites = [os.path.dirname(os.path.abspath(package)), here]
    return [os.path.join(site, "nvidia") for site in sorted(set(sites), key=sites.index)]


def wheel_folders(vendors: List[str]) -> List[str]:
    return [
        os.path.join(vendor, name, "lib")
        for vendor in vendors
        if os.path.isdir(vendor)
        for name in sorted(os.listdir(vendor))
    ]


def sonames(cuda: str, cudnn: str) -> Iterator[str]:
    for name in SONAMES.get(cuda, "cudnn").split():
        if name == "cudnn":
            for part in CUDNN.get(cudnn, "").split():
                yield "libcudnn_%s.so.%s" % (part, cudnn)
            yield "libcudnn.so.%s" % cudnn
        else:
            yield name


def candidates(soname: str, folders: List[str]) -> List[str]:
    paths = [os.path.join(folder, soname) for folder in folders]
    return [path for path in paths if os.path.exists(path)]


def open_once(soname: str, folders: List[str]) -> None:
    """Open the first copy that opens, unless one of that soname is loaded already (by torch, say)."""
    if opened(soname, os.RTLD_NOLOAD):
        return
    if not any(opened(path) for path in candidates(soname, folders)):
        debug("%s: no copy that opens in the folders" % soname)


def opened(name: str, flags: int = 0) -> bool:
    try:
        ctypes.CDLL(name, mode=ctypes.DEFAULT_MODE | flags)
    except OSError as problem:
        debug(problem)
        return False
    debug("%s %s" % ("already loaded:" if flags else "opened", name))
    return True


def show_tools(roots: List[str]) -> None:
    """Point XLA to ptxas and libdevice, unless the user did.

    The flag is enough for libdevice; for ptxas older releases look on PATH first, where a toolkit of another
    CUDA may be (seen with strace: PATH first in 2.10.1, 2.13.1 and 2.15.1, the flag first in 2.16.1, 2.18.1,
    2.20.0 and 2.21.0). Without the flag /usr/local/cuda goes before the wheels (2.10.1, 2.13.1, 2.15.1,
    2.18.1, 2.21.0), and 2.10.1 and 2.13.1 never look in the wheels.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    libdevice = os.path.join("nvvm", "libdevice", "libdevice.10.bc")
    roots = [root for root in roots if os.path.exists(os.path.join(root, libdevice))]
    if "--xla_gpu_cuda_data_dir" in flags or not roots:
        debug("XLA_FLAGS is left as it is: %r" % flags)
        return
    quote = "'" if " " in roots[0] else ""
    os.environ["XLA_FLAGS"] = (flags + " --xla_gpu_cuda_data_dir=" + quote + roots[0] + quote).strip()
    programs = os.path.join(roots[0], "bin")
    path = os.environ.get("PATH", os.defpath)
    if os.path.exists(os.path.join(programs, "ptxas")) and programs not in path.split(os.pathsep):
        os.environ["PATH"] = programs + os.pathsep + path
    debug("ptxas and libdevice: %s" % roots[0])
