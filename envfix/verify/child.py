"""What envfix asks of TensorFlow, in the target interpreter and in a process of its own.

    python child.py gpu|loader|cpu

Standard library and TensorFlow only, Python 3.7 syntax. Before every step and at the end one line goes to
standard output: MARK and all that is known so far as JSON, with the step that comes next in `doing`. The last
such line counts, so that a crash or a hang can be laid to the step it happened in.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from typing import Any, Callable, Dict, List, Sequence

MARK = "@envfix-verify@"
STEPS = {
    "gpu": ("import", "devices", "initialise", "matmul", "convolution", "jit"),
    "loader": ("import", "devices"),
    "cpu": ("import", "devices", "initialise", "matmul", "convolution", "jit"),
}
FAMILIES = ("libcu", "libnv", "libnccl")


def main(mode: str) -> None:
    """Do the steps of a mode in order; the last answer says what each came to."""
    if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]
    answer: Dict[str, Any] = {"mode": mode, "done": {}, "doing": None, **loaded()}
    device = "/CPU:0" if mode == "cpu" else "/GPU:0"
    for step in STEPS[mode]:
        answer["doing"] = step
        say(answer)
        try:
            answer["done"][step] = ACTIONS[step](device)
        except Exception as problem:
            traceback.print_exc()
            answer["done"][step] = {"error": in_words(problem)}
            if step in ("import", "devices", "initialise"):
                break
        answer.update(loaded())
        if mode == "gpu" and answer["done"].get("devices", {}).get("gpus") == []:
            break
    answer["doing"] = None
    say(answer)


def in_words(problem: Exception) -> str:
    """The exception, with the whole path of a file that Python cannot read: there are many `__init__.py`."""
    kind = type(problem).__name__
    if isinstance(problem, SyntaxError) and problem.filename:
        return "%s: %s (%s, line %s)" % (kind, problem.msg, problem.filename, problem.lineno)
    return "%s: %s" % (kind, problem)


def say(answer: Dict[str, Any]) -> None:
    """Print the answer so far, and at once: the next step may end the process."""
    sys.stdout.write("\n%s %s\n" % (MARK, json.dumps(answer)))
    sys.stdout.flush()


def load(device: str) -> Dict[str, Any]:
    """TensorFlow's version, and what `get_build_info`, where it has that, tells of its build."""
    import tensorflow as tf

    info = {}
    if hasattr(tf.sysconfig, "get_build_info"):
        info = {key: str(value) for key, value in tf.sysconfig.get_build_info().items()}
    return {
        "version": tf.__version__,
        "git": tf.version.GIT_VERSION,
        "compiler": tf.version.COMPILER_VERSION,
        "cuda_build": bool(tf.test.is_built_with_cuda()),
        "build": info,
    }


def devices(device: str) -> Dict[str, Any]:
    """The GPUs that TensorFlow lists, before it has initialised them."""
    import tensorflow as tf

    found = []
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        capability = details.get("compute_capability")
        found.append(
            {
                "name": gpu.name.replace("/physical_device:", ""),
                "model": details.get("device_name", ""),
                "compute_capability": "%d.%d" % tuple(capability) if capability else "",
            }
        )
    return {"gpus": found}


def initialise(device: str) -> Dict[str, Any]:
    """Where a constant lands when TensorFlow may not move it elsewhere, and what comes back from there."""
    import tensorflow as tf

    tf.config.set_soft_device_placement(False)
    for gpu in tf.config.list_physical_devices("GPU"):
        # Else TensorFlow takes nearly all memory of every GPU, and a notebook beside it has none.
        tf.config.experimental.set_memory_growth(gpu, True)
    with tf.device(device):
        ones = tf.ones([256]) + tf.ones([256])
    return {"device": ones.device, "sum": float(ones.numpy().sum())}


def compared(operation: Callable[..., Any], device: str, shapes: Sequence[Sequence[int]]) -> Dict[str, Any]:
    """The operation on `device` against the same on the CPU (for the CPU itself: against float64).

    All inputs are positive, so that the relative error of a sum of products is no larger than that of one.
    """
    import numpy as np
    import tensorflow as tf

    random = np.random.RandomState(20)
    inputs = [random.uniform(0.1, 1.0, shape).astype("float32") for shape in shapes]
    with tf.device(device):
        result = operation(*[tf.constant(value) for value in inputs])
    kind = "float64" if device == "/CPU:0" else "float32"
    with tf.device("/CPU:0"):
        reference = operation(*[tf.constant(value.astype(kind)) for value in inputs]).numpy()
    error = float(np.max(np.abs(result.numpy() - reference) / np.abs(reference)))
    # JSON has no NaN: null stands for numbers that are none.
    return {"device": result.device, "relative_error": error if np.isfinite(error) else None}


def matmul(device: str) -> Dict[str, Any]:
    """A product of matrices, as `compared` has it."""
    import tensorflow as tf

    return compared(tf.matmul, device, ([256, 256], [256, 256]))


def convolution(device: str) -> Dict[str, Any]:
    """A convolution, as `compared` has it: on a GPU it is cuDNN's."""
    import tensorflow as tf

    def conv2d(image: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(image, kernel, strides=1, padding="SAME")

    return compared(conv2d, device, ([4, 32, 32, 16], [3, 3, 16, 32]))


def jit(device: str) -> Dict[str, Any]:
    """XLA: needs ptxas and libdevice, which `sin` and `pow` are compiled from."""
    import tensorflow as tf

    def compiled(x: Any, y: Any) -> Any:
        return tf.matmul(tf.exp(tf.sin(x)), tf.pow(y, 1.5))

    try:
        function = tf.function(compiled, jit_compile=True)
    except TypeError:  # 2.4
        function = tf.function(compiled, experimental_compile=True)
    return compared(function, device, ([128, 128], [128, 128]))


def loaded() -> Dict[str, Any]:
    """CUDA's libraries in this process by the names they were found under, with their paths.

    `copies` has every one in the order of loading, `libraries` the first of each name, `real` the file where
    that is another one (`libcuda.so.550.54.15`), `cudnn` its version as cuDNN says it, `loader` whether
    envfix's library discovery ran here.
    """
    copies = []
    for path in loaded_paths():
        name = os.path.basename(path)
        if name.startswith(FAMILIES) and ".so" in name and [name, path] not in copies:
            copies.append([name, path])
    first = {}  # type: Dict[str, str]
    for name, path in copies:
        first.setdefault(name, path)
    real = {name: os.path.realpath(path) for name, path in first.items()}
    return {
        "libraries": first,
        "copies": copies,
        "real": {name: path for name, path in real.items() if path != first[name]},
        "cudnn": cudnn_release([path for name, path in copies if name.startswith("libcudnn.so.")]),
        "loader": "_envfix_preload" in sys.modules,
    }


class Loaded(ctypes.Structure):
    """The first fields of `struct dl_phdr_info` (dl_iterate_phdr(3)); what follows is not read."""

    _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]


def loaded_paths() -> List[str]:
    """What the dynamic loader has loaded, by the path it found it under, in order.

    /proc/self/maps would name the files that links lead to: a driver's `libcuda.so.1` has another name there.
    """
    found = []  # type: List[str]

    def note(info: Any, size: int, data: Any) -> int:
        found.append(os.path.normpath(os.fsdecode(info.contents.name or b"")))
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Loaded), ctypes.c_size_t, ctypes.c_void_p)
    try:
        ctypes.CDLL(None).dl_iterate_phdr(kind(note), None)
    except (AttributeError, TypeError, OSError):  # no ELF loader: macOS, Windows
        return []
    return found


def cudnn_release(paths: Sequence[str]) -> str:
    """The version that the loaded cuDNN says of itself, empty where there is none.

    cudnnGetVersion is major * 1000 + minor * 100 + patch, from 9 on major * 10000 (cudnn_version.h).
    """
    if not paths:
        return ""
    try:
        number = int(ctypes.CDLL(paths[0], mode=os.RTLD_NOLOAD | os.RTLD_LAZY).cudnnGetVersion())
    except (AttributeError, OSError):
        return ""
    major = 10000 if number >= 90000 else 1000
    return "%d.%d.%d" % (number // major, number % major // 100, number % 100)


ACTIONS = {
    "import": load,
    "devices": devices,
    "initialise": initialise,
    "matmul": matmul,
    "convolution": convolution,
    "jit": jit,
}

if __name__ == "__main__":
    main(sys.argv[1])
