"""A small training step, measured, in the target interpreter and in a process of its own.

    python deep_child.py gpu|loader|cpu|gpu-placement|cpu-placement SAMPLER

Standard library, TensorFlow and its NumPy only, Python 3.7 syntax, TensorFlow 2.4 and later. SAMPLER is the
command, as a JSON list, that prints a look at the GPUs per line; an empty list where there is nothing to
look at. It answers as `child.py` does: before every step and at the end one marked JSON line with all that
is known so far. Where each op is placed TensorFlow says in its log, between two lines of ours; it cannot be
told to stop logging, so that runs in a process of its own and costs the measurements nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

MARK = "@envfix-verify@"
PLACING, PLACED = "@envfix-placing@", "@envfix-placed@"
STEPS = {
    "gpu": ("import", "before", "devices", "kernels", "step", "training", "memory", "host", "pipeline"),
    "loader": ("import", "kernels"),
    "cpu": ("import", "devices", "kernels", "step", "training", "memory", "pipeline"),
    "gpu-placement": ("import", "devices", "step"),
    "cpu-placement": ("import", "devices", "step"),
}
NEEDED = ("import", "devices", "step")
# Seconds of training. NVML's utilisation is that of its last period of up to 1 s.
LONG, SHORT = 4.0, 1.0
FEWEST = 8


def main(mode: str, sampler: List[str]) -> None:
    """Do the steps of a mode in order; `sampler` is the command that looks at the GPUs."""
    import deep_model  # type: ignore[import-not-found]

    if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]
    if mode == "loader":
        # The registry of kernels needs no GPU, and tracing the step would try to start the stub's.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    run = Run(mode, sampler, deep_model)
    answer: Dict[str, Any] = {"mode": mode, "pid": os.getpid(), "done": {}, "doing": None}
    for step in STEPS[mode]:
        answer["doing"] = step
        say(answer)
        try:
            answer["done"][step] = ACTIONS[step](run)
        except Exception as problem:
            traceback.print_exc()
            answer["done"][step] = {"error": "%s: %s" % (type(problem).__name__, problem)}
            if step in NEEDED:
                break
        if mode.startswith("gpu") and answer["done"].get("devices", {}).get("gpus") == 0:
            break  # soft placement would put all of it on the CPU
    answer["doing"] = None
    say(answer)


def say(answer: Dict[str, Any]) -> None:
    """Print the answer so far, and at once: the next step may end the process."""
    sys.stdout.write("\n%s %s\n" % (MARK, json.dumps(answer)))
    sys.stdout.flush()


class Sampler:
    """Looks at the GPUs while something runs; `samples` are its lines, in their own order."""

    def __init__(self, command: List[str]) -> None:
        self.lines: List[str] = []
        self.child: Optional[subprocess.Popen[bytes]] = None
        self.reader = threading.Thread(target=self.read, daemon=True)
        if command:
            self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.reader.start()

    def read(self) -> None:
        """Keep its lines until it ends; runs in a thread."""
        if self.child is not None and self.child.stdout is not None:
            for line in self.child.stdout:
                self.lines.append(line.decode("utf-8", "replace").strip())

    def end(self) -> List[Any]:
        """The looks so far; the sampler is ended."""
        if self.child is None:
            return []
        self.child.kill()
        self.child.wait()
        self.reader.join(5)
        return [look for look in map(self._look, self.lines) if look is not None]

    @staticmethod
    def _look(line: str) -> Any:
        try:
            return json.loads(line.partition(":")[2])
        except ValueError:
            return None  # cut short as the sampler was ended


class Run:
    """One step after the other, on one device."""

    def __init__(self, mode: str, sampler: List[str], parts: Any) -> None:
        """`parts` is the module `deep_model`."""
        self.device = "/CPU:0" if mode.startswith("cpu") else "/GPU:0"
        self.logged = mode.endswith("-placement")
        self.sampler, self.parts = sampler, parts

    def load(self) -> Dict[str, Any]:
        """TensorFlow's version, and whether it is a CUDA build."""
        import tensorflow as tf

        return {"version": tf.__version__, "cuda_build": bool(tf.test.is_built_with_cuda())}

    def before(self) -> Dict[str, Any]:
        """One look before this process touches a GPU: what others hold."""
        watched = Sampler(self.sampler)
        until = time.time() + 10
        while watched.child is not None and time.time() < until:
            if any(line.endswith("}") for line in watched.lines) or watched.child.poll() is not None:
                break
            time.sleep(0.05)
        return {"samples": watched.end()[:1]}

    def devices(self) -> Dict[str, Any]:
        """The devices before they are initialised, and whether each GPU's memory would grow by itself."""
        import tensorflow as tf

        tf.debugging.set_log_device_placement(self.logged)
        gpus = tf.config.list_physical_devices("GPU")
        growth = [tf.config.experimental.get_memory_growth(gpu) for gpu in gpus]
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        return {
            "gpus": len(gpus),
            "physical": [device.name for device in tf.config.list_physical_devices()],
            "growth_by_default": growth,
            "growth": [tf.config.experimental.get_memory_growth(gpu) for gpu in gpus],
            "forced_growth": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"),
        }

    def kernels(self) -> Dict[str, Any]:
        """The devices that this build has a kernel for, of each op of the step; nothing is run for it."""
        import tensorflow as tf
        from tensorflow.python.framework import kernels

        with tf.Graph().as_default() as graph:
            model = self.parts.Model("/CPU:0")
            model.step(*[tf.constant(value) for value in self.parts.examples()])
            types = sorted({operation.type for operation in graph.get_operations()})
        return {
            name: sorted({one.device_type for one in kernels.get_registered_kernels_for_op(name).kernel})
            for name in types
        }

    def first(self) -> Dict[str, Any]:
        """The step once; soft placement is on, as it is by default."""
        import tensorflow as tf

        tf.config.set_soft_device_placement(True)
        self.model = self.parts.Model(self.device)
        self.step = tf.function(self.model.step)
        with tf.device(self.device):
            self.data = [tf.constant(value) for value in self.parts.examples()]
        os.write(2, ("\n%s\n" % PLACING).encode())
        loss = self.step(*self.data)
        value = float(loss)
        os.write(2, ("\n%s\n" % PLACED).encode())
        return {"device": loss.device, "variables": self.model.devices(), "loss": finite(value)}

    def training(self) -> Dict[str, Any]:
        """The step again and again, the loss read after each, with a look at the GPUs beside it."""
        watched = Sampler(self.sampler)
        try:
            done = timed(lambda: float(self.step(*self.data)), LONG if self.sampler else SHORT)
        finally:
            samples = watched.end()
        losses = done.pop("values")
        done.update(first=finite(losses[0]), last=finite(losses[-1]), batch=self.parts.BATCH, samples=samples)
        return done

    def memory(self) -> Dict[str, Any]:
        """The logical devices, and what TensorFlow has allocated on the GPU by its own account, in bytes."""
        import tensorflow as tf

        found: Dict[str, Any] = {"logical": [device.name for device in tf.config.list_logical_devices()]}
        if self.device != "/CPU:0":
            ask = getattr(tf.config.experimental, "get_memory_info", None)  # from 2.5 on
            found.update(ask("GPU:0") if ask else {})
        return found

    def host(self) -> Dict[str, Any]:
        """The same step on the CPU."""
        import tensorflow as tf

        step = tf.function(self.parts.Model("/CPU:0").step)
        with tf.device("/CPU:0"):
            data = [tf.constant(value) for value in self.parts.examples()]
            float(step(*data))
            done = timed(lambda: float(step(*data)), SHORT)
        del done["values"]
        return done

    def pipeline(self) -> Dict[str, Any]:
        """The step fed from JPEG files in memory, each way twice in turn.

        The better of both counts: a pause of the machine must not look like a result.
        """
        best: Dict[str, Any] = {}
        for _ in range(2):
            for name in self.parts.WAYS:
                fed = self.fed(name)
                if name not in best or fed["examples_per_second"] > best[name]["examples_per_second"]:
                    best[name] = fed
        return dict(best, cpus=cpus())

    def fed(self, name: str) -> Dict[str, Any]:
        """The step with one of the pipelines: its throughput, and the share of time that it waited."""
        import tensorflow as tf

        with tf.device("/CPU:0"):
            data, size = self.parts.pipeline(name)
            source = iter(data)
        waits: List[float] = []

        def one() -> float:
            begun = time.perf_counter()
            images, labels = next(source)
            waits.append(time.perf_counter() - begun)
            return float(self.step(images, labels))

        for _ in range(3):
            one()
        del waits[:]
        done = timed(one, SHORT)
        return {
            "examples_per_second": size * done["steps"] / done["seconds"],
            "waiting": sum(waits) / done["seconds"],
            "steps": done["steps"],
        }


def timed(action: Callable[[], float], seconds: float) -> Dict[str, Any]:
    """`action` for at least so long and so often; `median` are seconds of one."""
    times: List[float] = []
    values: List[float] = []
    begun = time.perf_counter()
    while len(times) < FEWEST or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        values.append(action())
        times.append(time.perf_counter() - start)
    whole = time.perf_counter() - begun
    return {"steps": len(times), "seconds": whole, "median": sorted(times)[len(times) // 2], "values": values}


def cpus() -> int:
    """The processors that this process may use: a container may have fewer than the machine."""
    ask = getattr(os, "sched_getaffinity", None)
    return len(ask(0)) if ask else os.cpu_count() or 1


def finite(value: float) -> Optional[float]:
    """JSON has no NaN: null stands for numbers that are none."""
    return value if abs(value) != float("inf") and value == value else None


ACTIONS: Dict[str, Callable[[Run], Dict[str, Any]]] = {
    "import": Run.load,
    "before": Run.before,
    "devices": Run.devices,
    "kernels": Run.kernels,
    "step": Run.first,
    "training": Run.training,
    "memory": Run.memory,
    "host": Run.host,
    "pipeline": Run.pipeline,
}

if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
