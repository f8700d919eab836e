"""What envfix asks of TensorFlow, in the target interpreter and in a process of its own.

    python child.py gpu|loader|cpu

Standard library and TensorFlow only, Python 3.7 syntax. Before every step and at the end one line goes to
standard output: MARK and all that is known so far as JSON, with the step that comes next in `doing`. The last
such line counts, so that a crash or a hang can be laid to the step it happened in.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, Callable, Dict, Sequence

MARK = "@envfix-verify@"
STEPS = {
    "gpu": ("import", "devices", "initialise", "matmul", "convolution", "jit"),
    "loader": ("import", "devices"),
    "cpu": ("import", "devices", "initialise", "matmul", "convolution", "jit"),
}
FAMILIES = ("libcu", "libnv", "libnccl")


def main(mode: str) -> None:
    if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]
    answer: Dict[str, Any] = {"mode": mode, "done": {}, "doing": None, "libraries": {}}
    device = "/CPU:0" if mode == "cpu" else "/GPU:0"
    for step in STEPS[mode]:
        answer["doing"] = step
        say(answer)
        try:
            answer["done"][step] = ACTIONS[step](device)
        except Exception as problem:
            traceback.print_exc()
            answer["done"][step] = {"error": "%s: %s" % (type(problem).__name__, problem)}
            if step in ("import", "devices", "initialise"):
                break
        answer["libraries"] = loaded_libraries()
        if mode == "gpu" and answer["done"].get("devices", {}).get("gpus") == []:
            break
    answer["doing"] = None
    say(answer)


def say(answer: Dict[str, Any]) -> None:
    sys.stdout.write("\n%s %s\n" % (MARK, json.dumps(answer)))
    sys.stdout.flush()


def load(device: str) -> Dict[str, Any]:
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
    import tensorflow as tf

    return compared(tf.matmul, device, ([256, 256], [256, 256]))


def convolution(device: str) -> Dict[str, Any]:
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


def loaded_libraries() -> Dict[str, str]:
    """Sonames of CUDA's families that this process has mapped, with their paths."""
    found = {}
    try:
        with open("/proc/self/maps") as maps:
            for line in maps:
                path = line.split(None, 5)[-1].strip()
                name = os.path.basename(path)
                if name.startswith(FAMILIES) and ".so" in name:
                    found[name] = path
    except OSError:  # not on Linux
        pass
    return found


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
