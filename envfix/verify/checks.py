"""Runs `child.py` in the target interpreter and judges what it says.

Three proofs: on a real GPU, operations run there and are compared with the CPU's numbers; under the driver
stub, the real wheel opens its libraries and registers the described GPUs, and nothing more is claimed; on the
CPU, operations are compared with float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from envfix.errors import InputError
from envfix.model.machine import Driver, Gpu, Machine, known
from envfix.model.outcome import REPAIR, Check, Proof, Status, Verification
from envfix.model.request import Accelerator
from envfix.model.surroundings import Surroundings
from envfix.model.versions import CudnnRelease
from envfix.ports import Outside
from envfix.verify import causes, loader_log, transcript
from envfix.verify.driver_library import NO_DRIVER
from envfix.verify.transcript import Transcript

CHILD = str(Path(__file__).parent / "child.py")
OPERATIONS = {"matmul": "matmul", "convolution": "convolution", "jit": "jit_compile=True"}
# TF32, the default for matmul and convolution from compute capability 8.0 on, keeps 10 bits of the mantissa:
# each product of two inputs is off by less than 2 * 2**-10 = 0.2 % even where they are cut off, and all
# inputs are positive.
TOLERANCE = 0.005
NO_KERNELS = "no GPU here: the driver stub runs no kernels"


def verify(
    outside: Outside,
    python: str,
    *,
    accelerator: Accelerator,
    machine: Machine,
    stub: str | None = None,
    timeout: float = 180.0,
    surroundings: Callable[[str], Surroundings] = lambda said: Surroundings(),
    compiled_cudnn: Mapping[str, CudnnRelease] = MappingProxyType({}),
) -> Verification:
    """What TensorFlow does in `python`, each check with what was wanted and found.

    `stub` is the folder of the compiled driver stub: TensorFlow must register `machine`'s GPUs under it.
    `surroundings` is asked, with TensorFlow's words, only where a check failed; `compiled_cudnn` maps
    TensorFlow's versions to the cuDNN that each was compiled against. Raises InputError for a machine whose
    GPUs cannot be described to the stub.
    """
    proof = Proof.CPU if accelerator is Accelerator.CPU else Proof.LOADER if stub else Proof.GPU
    heard = _hear(outside, [python, CHILD, proof.value], timeout, environment(outside, machine, stub))
    checks = _judge(heard, proof, known(machine.gpus, ()), compiled_cudnn)
    if any(check.status is Status.FAILED for check in checks):
        case = causes.Case(outside, heard, machine, surroundings(heard.stderr), stub)
        checks = tuple(case.explained(check) for check in checks)
    proven = all(check.status is Status.PASSED or check.cause == NO_KERNELS for check in checks)
    return Verification(
        checks=checks,
        proof=proof if proven else None,
        python=python,
        tensorflow=_done(heard, "import").get("version"),
        devices=tuple(
            f"{gpu['name']} {gpu['model']} {gpu['compute_capability']}".strip() for gpu in _gpus_seen(heard)
        ),
        ended=heard.ended,
        stderr=heard.stderr,
        build=_build_facts(heard),
        libraries=dict(heard.answer.get("libraries", {})),
        not_opened=dict(heard.not_opened),
    )


def _hear(outside: Outside, argv: Sequence[str], timeout: float, env: Mapping[str, str]) -> Transcript:
    """What the child says, with what the dynamic loader writes down meanwhile."""
    folder = outside.temporary_dir()
    ran = outside.run(argv, timeout=timeout, env={**env, **loader_log.environment(folder)})
    return transcript.read(ran, loader_log.read(outside, folder))


def _build_facts(heard: Transcript) -> dict[str, str]:
    """What the wheel says of how it was built, its commit and compiler included."""
    done = _done(heard, "import")
    told = {name: str(done[name]) for name in ("git", "compiler") if done.get(name)}
    return {**told, **done.get("build", {})}


def environment(outside: Outside, machine: Machine, stub: str | None) -> dict[str, str]:
    """The variables of a child: TensorFlow's whole log and, with `stub`, the machine that it answers for."""
    env = dict(outside.environ)
    env["TF_CPP_MIN_LOG_LEVEL"] = "0"
    # Makes every release name the libraries that it opens and misses.
    env["TF_CPP_VMODULE"] = "dso_loader=1"
    if stub is None:
        return env
    # These speak of this machine's GPUs, not of the described ones.
    for name in ("CUDA_VISIBLE_DEVICES", "ENVFIX_STUB_CUINIT", "ENVFIX_STUB_FAIL"):
        env.pop(name, None)
    path = env.get("LD_LIBRARY_PATH", "")
    env["LD_LIBRARY_PATH"] = f"{stub}:{path}" if path else stub
    env["ENVFIX_STUB_GPUS"] = ";".join(
        _described(gpu, f"gpus[{place}]") for place, gpu in enumerate(known(machine.gpus, ()))
    )
    driver = known(machine.driver, None) or Driver()
    cuda, release = known(driver.cuda, None), known(driver.release, None)
    if cuda is not None:
        env["ENVFIX_STUB_DRIVER_CUDA"] = str(cuda.major * 1000 + cuda.minor * 10)
    if release is not None:
        env["ENVFIX_STUB_DRIVER_RELEASE"] = str(release)
    return env


def _described(gpu: Gpu, place: str) -> str:
    capability = known(gpu.compute_capability, None)
    if capability is None:
        raise InputError(
            f"{place}.compute_capability is unknown, and the loader proof needs it",
            f'add `compute_capability: "7.5"` (or what it is) to {place} of the machine file',
        )
    name = known(gpu.name, "NVIDIA GPU").replace(";", " ").replace("|", " ")
    return f"{name}|{capability.major}.{capability.minor}|{known(gpu.memory_mib, 16384)}"


def _judge(
    heard: Transcript, proof: Proof, gpus: Sequence[Gpu], compiled: Mapping[str, CudnnRelease]
) -> tuple[Check, ...]:
    """Every check in order; what comes after the first one that ends the run is skipped."""
    checks = [_build(heard, proof)]
    if proof is not Proof.CPU:
        release = compiled.get(_done(heard, "import").get("version", ""))
        checks += [_libraries(heard, release), _visible(heard, proof, gpus)]
    for step, name in {"initialise": "device initialised", **OPERATIONS}.items():
        device = "CPU:0" if proof is Proof.CPU else "GPU:0"
        wanted = f"runs on {device}" + ("" if step == "initialise" else ", with the CPU's numbers")
        if proof is Proof.LOADER:
            checks.append(_check(name, Status.SKIPPED, wanted, "not run", NO_KERNELS))
        else:
            checks.append(_operation(heard, step, name, wanted, device))
    if heard.complete and heard.ended != "exit 0":
        checks.append(_check("end", Status.FAILED, "exit 0", heard.ended, heard.cause, heard.hint))
    return tuple(checks)


def _build(heard: Transcript, proof: Proof) -> Check:
    wanted = "TensorFlow imports" if proof is Proof.CPU else "TensorFlow imports, and is a CUDA build"
    stopped = _stopped(heard, "import", "build", wanted, REPAIR)
    if stopped:
        return stopped
    done = _done(heard, "import")
    build = done["build"]
    observed = f"tensorflow {done['version']}, " + (
        f"built with CUDA {build.get('cuda_version', '?')} and cuDNN {build.get('cudnn_version', '?')}"
        if done["cuda_build"]
        else "built without CUDA"
    )
    if proof is Proof.CPU or done["cuda_build"]:
        return _check("build", Status.PASSED, wanted, observed)
    return _check("build", Status.FAILED, wanted, observed, "this wheel holds no GPU code", REPAIR)


def _libraries(heard: Transcript, compiled: CudnnRelease | None) -> Check:
    least = f", cuDNN >= {compiled.cut(2)}" if compiled else ""
    wanted = f"every CUDA library that TensorFlow asks for opens{least}"
    stopped = _stopped(heard, "devices", "libraries", wanted, REPAIR)
    if stopped:
        return stopped
    missing, loaded = heard.not_opened, heard.answer["libraries"]
    if "libcuda.so.1" not in loaded:
        return _check(
            "libraries",
            Status.FAILED,
            wanted,
            "no driver, so none was asked for",
            _no_device(heard),
            NO_DRIVER,
        )
    # With a GPU registered, what is missing was not needed for that (the profiler's libcupti, say).
    if missing and not _gpus_seen(heard):
        reasons = "; ".join(f"`{name}`: {reason}" for name, reason in missing.items())
        return _check(
            "libraries", Status.FAILED, wanted, f"not opened: {', '.join(missing)}", reasons, REPAIR
        )
    unfit = causes.old_cudnn(heard, compiled)
    if unfit:
        return _check("libraries", Status.FAILED, wanted, unfit, "", REPAIR)
    observed = ", ".join(f"{name} ({path})" for name, path in sorted(loaded.items()))
    return _check(
        "libraries",
        Status.PASSED,
        wanted,
        observed,
        f"not needed, not there: {', '.join(missing)}" if missing else "",
    )


def _visible(heard: Transcript, proof: Proof, gpus: Sequence[Gpu]) -> Check:
    seen = [gpu["compute_capability"] for gpu in _gpus_seen(heard)]
    described = [str(known(gpu.compute_capability, "?")) for gpu in gpus]
    wanted = "at least one GPU" if proof is Proof.GPU else f"{_count(described)}"
    stopped = _stopped(heard, "devices", "device visible", wanted, REPAIR)
    if stopped:
        return stopped
    right = bool(seen) if proof is Proof.GPU else sorted(seen) == sorted(described)
    if right:
        return _check("device visible", Status.PASSED, wanted, _count(seen))
    hint = REPAIR if heard.not_opened and "libcuda.so.1" in heard.answer["libraries"] else NO_DRIVER
    return _check("device visible", Status.FAILED, wanted, _count(seen), _no_device(heard), hint)


def _count(capabilities: Sequence[str]) -> str:
    if not capabilities:
        return "no GPU"
    number = f"{len(capabilities)} GPU" + ("s" if len(capabilities) > 1 else "")
    return f"{number}, compute capability {', '.join(capabilities)}"


def _no_device(heard: Transcript) -> str:
    """Why TensorFlow registered no GPU, as far as its log and its libraries tell."""
    if "libcuda.so.1" not in heard.answer["libraries"]:
        reason = heard.not_opened.get("libcuda.so.1", "")
        return "`libcuda.so.1`, which the NVIDIA driver brings, was not opened" + (
            f": {reason}" if reason else ""
        )
    if heard.cuinit:
        return f"the driver refused: {heard.cuinit}"
    if heard.not_opened:
        return f"TensorFlow gives up the GPU when one library is missing: {', '.join(heard.not_opened)}"
    return "; ".join(heard.ignored) or "TensorFlow's log gives no reason"


def _operation(heard: Transcript, step: str, name: str, wanted: str, device: str) -> Check:
    stopped = _stopped(heard, step, name, wanted, "")
    if stopped:
        return stopped
    done = _done(heard, step)
    placed = done["device"].rpartition("/device:")[2]
    if placed != device:
        return _check(
            name, Status.FAILED, wanted, f"ran on {placed or 'an unknown device'}", "it was placed elsewhere"
        )
    if step == "initialise":
        right, observed = done["sum"] == 512.0, f"on {placed}, 256 times 1 + 1 is {done['sum']:g}"
    else:
        error = done["relative_error"]
        right = error is not None and error <= TOLERANCE
        observed = f"on {placed}, relative error " + ("not a number" if error is None else f"{error:.1e}")
    if right:
        return _check(name, Status.PASSED, wanted, observed)
    return _check(name, Status.FAILED, wanted, observed, f"the numbers are wrong (tolerance {TOLERANCE:g})")


def _stopped(heard: Transcript, step: str, name: str, wanted: str, hint: str) -> Check | None:
    """The check of a step that raised, died or was not reached; None when it was done."""
    done = _done(heard, step)
    if "error" in done:
        kind, said = done["error"].partition(":")[0], done["error"].strip().splitlines()[0][:500]
        return _check(name, Status.FAILED, wanted, f"raised {kind}", said, hint)
    if done and step == "devices" and not _done(heard, "import")["cuda_build"]:
        return _check(name, Status.SKIPPED, wanted, "not asked for", "an earlier check failed")
    if done:
        return None
    if heard.answer.get("doing") == step or (not heard.answer and step == "import"):
        cause = heard.cause or "TensorFlow ended the process"
        return _check(name, Status.FAILED, wanted, heard.ended, cause, heard.hint or hint)
    return _check(name, Status.SKIPPED, wanted, "not reached", "an earlier check failed")


def _done(heard: Transcript, step: str) -> Mapping[str, Any]:
    done: Mapping[str, Any] = heard.answer.get("done", {}).get(step, {})
    return done


def _gpus_seen(heard: Transcript) -> Sequence[Mapping[str, str]]:
    seen: Sequence[Mapping[str, str]] = _done(heard, "devices").get("gpus", ())
    return seen


def _check(name: str, status: Status, wanted: str, observed: str, cause: str = "", hint: str = "") -> Check:
    return Check(name=name, status=status, expected=wanted, observed=observed, cause=cause, hint=hint)
