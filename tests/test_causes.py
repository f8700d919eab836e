"""Why a check failed, judged from what the child, the loader and the environment told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from envfix.model.diagnosis import Family, Finding
from envfix.model.machine import Driver, Machine
from envfix.model.outcome import Check, Status, Verification
from envfix.model.request import Accelerator
from envfix.model.surroundings import Surroundings
from envfix.model.target import Distribution, Kernel
from envfix.model.usage import GpuProcess, GpuUsage
from envfix.model.versions import CudnnRelease, DriverRelease
from envfix.ports import Ran
from envfix.verify import checks, transcript
from tests.fakes import FakeOutside
from tests.values import T4, TARGET, changed

SITE = TARGET.purelib
REPAIR = "envfix install --python /env/bin/python"
LINE = "       77:\t"
ABSENT = "cannot open shared object file: No such file or directory"
MISSED = "Could not load dynamic library '{0}'; dlerror: {1}; LD_LIBRARY_PATH: /x\n"
CUFFT = f"{SITE}/nvidia/cufft/lib/libcufft.so.11"
CUDNN = f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9"
DRIVER = "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
NO_DEVICE = "failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n"
KERNEL = Kernel(pid=42, python="/env/bin/python", command=("python", "-m", "ipykernel_launcher"))


def searched(soname: str, folder: str, place: str = "LD_LIBRARY_PATH") -> str:
    head = f"{LINE}find library={soname} [0]; searching\n"
    if place == "cache":
        return f"{head}{LINE} search cache=/etc/ld.so.cache\n{LINE}  trying file={folder}/{soname}\n"
    return f"{head}{LINE} search path={folder}\t\t({place})\n{LINE}  trying file={folder}/{soname}\n"


def wheel(name: str, version: str, path: str, size: int = 4, there: bool = True) -> dict[str, str | bytes]:
    info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    files: dict[str, str | bytes] = {f"{info}/RECORD": f"{path.removeprefix(SITE + '/')},sha256=x,{size}\n"}
    return files | ({path: b"\x7fELF"} if there else {})


def installed(*dists: Distribution) -> Surroundings:
    return Surroundings(target=structs.replace(TARGET, installed=dists), repair=REPAIR)


def dist(name: str, version: str, *requires: str) -> Distribution:
    return Distribution(name=name, version=version, requires=requires)


class Session(FakeOutside):
    """A machine where TensorFlow's child ends as it is told, and the loader wrote `log`."""

    def __init__(self, answer: Mapping[str, Any], err: str, log: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.ran_child = Ran(("python",), 0, f"{transcript.MARK} {json.dumps(answer)}\n", err)
        self.log = log

    def run(self, argv: Any, *, env: Mapping[str, str] | None = None, **rest: Any) -> Ran:
        assert env is not None and env["LD_DEBUG"] == "libs"
        self.files[f"{env['LD_DEBUG_OUTPUT']}.77"] = self.log
        return self.ran_child


def answered(libraries: Mapping[str, str], gpus: int = 0, **more: Any) -> dict[str, Any]:
    """What the child says of a CUDA build that got as far as looking for devices."""
    seen = [{"name": "GPU:0", "model": "Tesla T4", "compute_capability": "7.5"}] * gpus
    imported = {"version": "2.18.1", "cuda_build": True, "build": {}}
    done = {"import": imported, "devices": {"gpus": seen}, **more.pop("done", {})}
    return {"mode": "gpu", "done": done, "doing": None, "libraries": dict(libraries), **more}


def verified(
    answer: Mapping[str, Any],
    *,
    err: str = "",
    log: str = "",
    about: Surroundings | None = None,
    machine: Machine = T4,
    stub: str | None = None,
    **rest: Any,
) -> Verification:
    outside = Session(answer, err, log, **rest)
    return checks.verify(
        outside,
        "/env/bin/python",
        accelerator=Accelerator.GPU,
        machine=machine,
        stub=stub,
        surroundings=lambda said: about or Surroundings(target=TARGET, repair=REPAIR),
        compiled_cudnn={"2.18.1": CudnnRelease("9.3.0.75")},
    )


def check(result: Verification, name: str) -> Check:
    return next(one for one in result.checks if one.name == name)


# -- libraries


def test_a_file_that_is_gone_is_laid_to_its_wheel() -> None:
    err = MISSED.format("libcufft.so.11", f"libcufft.so.11: {ABSENT}")
    files = wheel("nvidia-cufft-cu12", "11.2.3.61", CUFFT, there=False)
    about = installed(dist("nvidia-cufft-cu12", "11.2.3.61"))
    result = verified(answered({"libcuda.so.1": DRIVER}), err=err, about=about, files=files)
    found = check(result, "libraries")
    assert found.cause.endswith(f"it is part of nvidia-cufft-cu12 11.2.3.61, but `{CUFFT}` is gone")
    assert found.hint == f"run `{REPAIR}`"
    assert check(result, "device visible").hint == found.hint


def test_a_file_of_another_size_is_not_the_wheels_own() -> None:
    err = MISSED.format("libcufft.so.11", f"libcufft.so.11: {ABSENT}")
    files = wheel("nvidia-cufft-cu12", "11.2.3.61", CUFFT, size=9)
    about = installed(dist("nvidia-cufft-cu12", "11.2.3.61"))
    result = verified(answered({"libcuda.so.1": DRIVER}), err=err, about=about, files=files)
    assert f"`{CUFFT}` has 4 bytes, not the 9 of its wheel" in check(result, "libraries").cause


def test_a_copy_that_nothing_looks_for_is_named_with_where_was_looked() -> None:
    err = MISSED.format("libcufft.so.11", f"libcufft.so.11: {ABSENT}")
    files = wheel("nvidia-cufft-cu12", "11.2.3.61", CUFFT)
    log = searched("libcufft.so.11", "/e/tf", "RUNPATH from file /e/tf/libtensorflow_cc.so.2")
    about = installed(dist("nvidia-cufft-cu12", "11.2.3.61"))
    result = verified(answered({"libcuda.so.1": DRIVER}), err=err, log=log, about=about, files=files)
    cause = check(result, "libraries").cause
    assert f"it is at `{CUFFT}` (nvidia-cufft-cu12 11.2.3.61), where the loader does not look" in cause
    assert cause.endswith("it looked in the RUNPATH of libtensorflow_cc.so.2")


def test_a_loader_that_is_switched_off_is_the_cause() -> None:
    err = MISSED.format("libcufft.so.11", f"libcufft.so.11: {ABSENT}")
    files = wheel("nvidia-cufft-cu12", "11.2.3.61", CUFFT)
    about = installed(dist("nvidia-cufft-cu12", "11.2.3.61"), dist("envfix-loader", "1.0"))
    environ = {"ENVFIX_LOADER": "0"}
    result = verified(answered({"libcuda.so.1": DRIVER}), err=err, about=about, files=files, environ=environ)
    assert check(result, "libraries").hint == "run `unset ENVFIX_LOADER`"


def test_a_loader_that_is_on_is_not_blamed() -> None:
    err = MISSED.format("libcufft.so.11", f"libcufft.so.11: {ABSENT}")
    files = wheel("nvidia-cufft-cu12", "11.2.3.61", CUFFT)
    about = installed(dist("nvidia-cufft-cu12", "11.2.3.61"), dist("envfix-loader", "1.0"))
    result = verified(answered({"libcuda.so.1": DRIVER}), err=err, about=about, files=files)
    assert check(result, "libraries").hint == f"run `{REPAIR}`"


def test_the_library_that_another_needs_is_the_missing_one() -> None:
    err = MISSED.format("libcusparse.so.12", f"libnvJitLink.so.12: {ABSENT}")
    result = verified(answered({"libcuda.so.1": DRIVER}), err=err)
    cause = check(result, "libraries").cause
    assert cause.startswith("`libnvJitLink.so.12`, which `libcusparse.so.12` needs, was not opened")
    assert "no NVIDIA wheel of this environment has it" in cause


def test_many_libraries_are_counted_after_the_first_three() -> None:
    err = "".join(MISSED.format(f"libx{number}.so.1", f"libx{number}.so.1: {ABSENT}") for number in range(5))
    found = check(verified(answered({"libcuda.so.1": DRIVER}), err=err), "libraries")
    assert found.cause.endswith("; and 2 more")
    assert found.hint == f"run `{REPAIR}`"


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("LD_LIBRARY_PATH", "take its folder out of LD_LIBRARY_PATH: `export LD_LIBRARY_PATH=/keep`"),
        ("cache", "then `sudo ldconfig`"),
        ("RPATH from file /x", "take it away: `mv /old/libcudnn.so.9 /old/libcudnn.so.9.off`"),
    ],
)
def test_a_damaged_copy_in_front_is_told_from_the_right_one(place: str, hint: str) -> None:
    err = MISSED.format("libcudnn.so.9", "/old/libcudnn.so.9: file too short")
    files = wheel("nvidia-cudnn-cu12", "9.3.0.75", CUDNN)
    about = installed(dist("nvidia-cudnn-cu12", "9.3.0.75"))
    environ = {"LD_LIBRARY_PATH": "/old:/keep"}
    log = searched("libcudnn.so.9", "/old", place)
    result = verified(
        answered({"libcuda.so.1": DRIVER}), err=err, log=log, about=about, files=files, environ=environ
    )
    found = check(result, "libraries")
    assert "is damaged: file too short" in found.cause
    assert found.cause.endswith(f"in front of `{CUDNN}`")
    assert found.hint.endswith(hint)


def test_an_older_cudnn_that_opened_fails_and_is_laid_to_what_put_it_in_front() -> None:
    files = wheel("nvidia-cudnn-cu12", "9.3.0.75", CUDNN)
    about = installed(dist("nvidia-cudnn-cu12", "9.3.0.75"))
    answer = answered({"libcuda.so.1": DRIVER, "libcudnn.so.9": "/old/libcudnn.so.9"}, 1, cudnn="9.1.0")
    log = searched("libcudnn.so.9", "/old")
    environ = {"LD_LIBRARY_PATH": "/old"}
    result = verified(answer, log=log, about=about, files=files, environ=environ)
    found = check(result, "libraries")
    assert found.status is Status.FAILED
    assert [check(result, name).cause for name in ("build", "device visible")] == ["", ""]
    assert found.observed == "cuDNN 9.1.0 is loaded, and this TensorFlow was compiled against 9.3.0.75"
    assert found.cause == (
        f"`/old/libcudnn.so.9` (from LD_LIBRARY_PATH) is used, and not `{CUDNN}` (nvidia-cudnn-cu12 9.3.0.75)"
    )
    assert found.hint.endswith("`unset LD_LIBRARY_PATH`")


@pytest.mark.parametrize(
    ("loaded", "right"), [("9.3.0", True), ("9.24.0", True), ("8.9.7", False), ("10.4.0", False), ("", True)]
)
def test_cudnn_must_have_the_major_and_at_least_the_minor(loaded: str, right: bool) -> None:
    answer = answered({"libcuda.so.1": DRIVER, "libcudnn.so.9": CUDNN}, 1, cudnn=loaded)
    assert (check(verified(answer), "libraries").status is Status.PASSED) is right


def test_torchs_pin_is_named_where_both_use_one_folder() -> None:
    files = wheel("nvidia-cudnn-cu12", "9.1.0.70", CUDNN)
    torch = dist("torch", "2.6.0", 'nvidia-cudnn-cu12==9.1.0.70; platform_system == "Linux"')
    about = installed(dist("nvidia-cudnn-cu12", "9.1.0.70"), torch)
    answer = answered({"libcuda.so.1": DRIVER, "libcudnn.so.9": CUDNN}, 1, cudnn="9.1.0")
    found = check(verified(answer, about=about, files=files), "libraries")
    assert "is what torch 2.6.0 asks for (`nvidia-cudnn-cu12==9.1.0.70`)" in found.cause
    assert found.hint == f"run `{REPAIR} --with torch`"


# -- the driver


def test_the_drivers_library_is_known_by_the_name_it_was_opened_under() -> None:
    """The loaded file of a real driver is `libcuda.so.550.54.15`."""
    real = {"libcuda.so.1": DRIVER.replace(".so.1", ".so.550.54.15")}
    result = verified(answered({"libcuda.so.1": DRIVER}, 1, real=real))
    assert check(result, "libraries").status is Status.PASSED


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/usr/local/cuda/lib64/stubs/libcuda.so.1", "is the toolkit's stub"),
        ("/usr/local/cuda-12.4/compat/libcuda.so.1", "is a forward-compatibility library (cuda-compat)"),
    ],
)
def test_a_library_that_is_not_the_drivers_own_is_in_front(path: str, said: str) -> None:
    folder = path.rpartition("/")[0]
    result = verified(
        answered({"libcuda.so.1": path}),
        err="failed call to cuInit: UNKNOWN ERROR (34)\n",
        log=searched("libcuda.so.1", folder),
        environ={"LD_LIBRARY_PATH": f"{folder}:/usr/lib64-nvidia"},
    )
    found = check(result, "device visible")
    assert found.cause.startswith(f"`{path}` (from LD_LIBRARY_PATH) {said}")
    assert found.hint.endswith("`export LD_LIBRARY_PATH=/usr/lib64-nvidia`")


def test_a_library_of_another_release_than_the_kernel_module_is_told() -> None:
    real = {"libcuda.so.1": "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15"}
    machine = changed(T4, driver=Driver(release=DriverRelease("535.183.01")))
    log = searched("libcuda.so.1", "/usr/lib/x86_64-linux-gnu", "cache")
    found = check(
        verified(answered({"libcuda.so.1": DRIVER}, real=real), log=log, machine=machine), "device visible"
    )
    assert "is of driver 550.54.15, and the driver that runs is 535.183.01" in found.cause
    assert found.hint.startswith("reboot")
    assert "sudo ldconfig" in found.hint


def test_our_own_stub_is_never_the_cause() -> None:
    result = verified(
        answered({"libcuda.so.1": "/cache/stubs/libcuda.so.1"}), err=NO_DEVICE, stub="/cache/stubs"
    )
    assert "CUDA_ERROR_NO_DEVICE" in check(result, "device visible").cause


@pytest.mark.parametrize(
    ("visible", "said"),
    [
        ("-1", "CUDA_VISIBLE_DEVICES=`-1` hides every GPU"),
        ("", "is set and empty, which hides every GPU"),
        ("1,0", "begins with GPU 1, and this machine has GPU 0 alone"),
        ("GPU-8932f937", "begins with a GPU's UUID that the driver does not know here"),
        ("MIG-GPU-1/2/3", "begins with a MIG instance that the driver does not know here"),
        ("NoDevFiles", "names no device, which hides every GPU"),
    ],
)
def test_a_hidden_device_is_the_variables_doing(visible: str, said: str) -> None:
    answer = answered({"libcuda.so.1": DRIVER})
    environ = {"CUDA_VISIBLE_DEVICES": visible}
    found = check(verified(answer, err=NO_DEVICE, environ=environ), "device visible")
    assert said in found.cause
    assert found.hint == "run `unset CUDA_VISIBLE_DEVICES`"
    in_notebook = Surroundings(target=TARGET, kernel=KERNEL)
    found = check(verified(answer, err=NO_DEVICE, environ=environ, about=in_notebook), "device visible")
    assert found.hint.startswith("restart the kernel, and begin with `import os; os.environ.pop(")


def test_a_variable_that_shows_the_gpu_is_not_blamed() -> None:
    found = check(
        verified(answered({"libcuda.so.1": DRIVER}), err=NO_DEVICE, environ={"CUDA_VISIBLE_DEVICES": "0"}),
        "device visible",
    )
    assert "CUDA_VISIBLE_DEVICES" not in found.cause
    assert "nvidia-smi" in found.hint


def test_a_driver_that_the_loader_does_not_find_is_shown() -> None:
    files = {"/usr/lib/wsl/lib/libcuda.so.1": b"\x7fELF"}
    err = MISSED.format("libcuda.so.1", f"libcuda.so.1: {ABSENT}")
    found = check(verified(answered({}), err=err, files=files), "libraries")
    assert "it is at `/usr/lib/wsl/lib/libcuda.so.1`, where the loader does not look" in found.cause
    assert found.hint == "run `export LD_LIBRARY_PATH=/usr/lib/wsl/lib`"


def test_without_any_gpu_no_install_is_proposed_for_the_driver() -> None:
    about = Surroundings(target=TARGET, repair=REPAIR, without_gpu=("choose a GPU runtime",))
    machine = changed(T4, gpus=(), driver=None)
    found = check(verified(answered({}), machine=machine, about=about), "libraries")
    assert found.hint == "choose a GPU runtime"


# -- the build


def test_no_tensorflow_is_said_with_the_interpreter() -> None:
    error = {"error": "ModuleNotFoundError: No module named 'tensorflow'"}
    answer = {"mode": "gpu", "done": {"import": error}, "doing": None, "libraries": {}}
    found = check(verified(answer), "build")
    assert found.cause == "tensorflow is not installed in `/env/bin/python`"
    assert (found.observed, found.hint) == ("raised ModuleNotFoundError", f"run `{REPAIR}`")


def test_another_module_that_is_missing_is_not_tensorflow() -> None:
    error = {"error": "ModuleNotFoundError: No module named 'tensorflow_estimator'"}
    answer = {"mode": "gpu", "done": {"import": error}, "doing": None, "libraries": {}}
    assert "tensorflow_estimator" in check(verified(answer), "build").cause


@pytest.mark.parametrize(
    ("dists", "cause"),
    [
        ((dist("tensorflow-cpu", "2.18.1"),), "tensorflow-cpu 2.18.1 is installed, which holds no GPU code"),
        (
            (dist("tensorflow", "2.18.1"), dist("tensorflow-cpu", "2.18.1")),
            "tensorflow-cpu 2.18.1, which holds no GPU code, is installed over tensorflow 2.18.1: both bring "
            "`tensorflow/`",
        ),
        ((), "this wheel holds no GPU code"),
    ],
)
def test_a_cpu_build_is_named_and_its_libraries_not_asked_for(
    dists: tuple[Distribution, ...], cause: str
) -> None:
    answer = answered({})
    answer["done"]["import"]["cuda_build"] = False
    result = verified(answer, about=installed(*dists))
    assert check(result, "build").cause == cause
    assert check(result, "libraries").status is Status.SKIPPED
    assert check(result, "device visible").status is Status.SKIPPED


# -- TensorFlow's own words


def test_what_the_environment_does_not_tell_the_words_do() -> None:
    finding = Finding(
        cause="driver-unknown-error",
        family=Family.DRIVER_STATE,
        confidence=0.97,
        benign=False,
        evidence=(),
        explanation="The driver is there and cannot start.",
        fix=("sudo nvidia-modprobe -u -c=0", "otherwise start the machine again"),
    )
    about = Surroundings(target=TARGET, repair=REPAIR, finding=finding)
    answer, err = (
        answered({"libcuda.so.1": DRIVER}),
        "failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown error\n",
    )
    found = check(verified(answer, err=err, about=about), "device visible")
    assert "CUDA_ERROR_UNKNOWN" in found.cause
    assert found.cause.endswith(": The driver is there and cannot start.")
    assert found.hint == "sudo nvidia-modprobe -u -c=0; otherwise start the machine again"
    hidden = verified(answer, err=NO_DEVICE, about=about, environ={"CUDA_VISIBLE_DEVICES": "-1"})
    assert "cannot start" not in check(hidden, "device visible").cause


# -- memory


def held(*processes: GpuProcess, used: int = 14000) -> Surroundings:
    gpu = GpuUsage(index=0, name="Tesla T4", used_mib=used, total_mib=15360, processes=processes)
    return Surroundings(target=TARGET, kernel=KERNEL, gpus=(gpu,))


def without_memory(error: str = "out of memory") -> dict[str, Any]:
    done = {"initialise": {"error": f"InternalError: cudaGetDevice() failed. Status: {error}"}}
    return answered({"libcuda.so.1": DRIVER}, 1, done=done)


def test_memory_is_laid_to_the_processes_that_hold_it() -> None:
    about = held(
        GpuProcess(pid=7, name="Xorg", used_mib=90),
        GpuProcess(pid=9, name="python", used_mib=9000),
        GpuProcess(pid=42, name="python", used_mib=4800),
    )
    files = {"/proc/9/cmdline": "python\0train.py\0"}
    found = check(verified(without_memory(), about=about, files=files), "device initialised")
    assert found.cause == (
        "14000 of 15360 MiB of GPU 0 (Tesla T4) are held by others: process 9 (9000 MiB, python train.py), "
        "process 42 (4800 MiB, this notebook's kernel)"
    )
    assert found.hint == "end what is not needed: `kill 9`, restart the notebook's kernel"


def test_what_cannot_be_seen_is_not_to_be_killed() -> None:
    found = check(verified(without_memory(), about=held()), "device initialised")
    assert "cannot be seen from here" in found.cause
    stranger = held(GpuProcess(pid=9, used_mib=9000))
    found = check(verified(without_memory(), about=stranger), "device initialised")
    assert "another container's, or the host's" in found.cause
    assert "kill" not in found.hint


@pytest.mark.parametrize(("error", "used"), [("unknown error", 14000), ("out of memory", 900)])
def test_memory_is_not_blamed_without_need(error: str, used: int) -> None:
    about = held(GpuProcess(pid=9, name="python", used_mib=used), used=used)
    found = check(verified(without_memory(error), about=about), "device initialised")
    assert found.cause.endswith(error)


def test_a_run_that_passes_asks_nothing_more() -> None:
    def never(said: str) -> Surroundings:
        raise AssertionError("asked")

    outside = Session(answered({"libcuda.so.1": DRIVER}, 1, mode="loader"), "", "")
    result = checks.verify(
        outside, "python", accelerator=Accelerator.GPU, machine=T4, stub="/stub", surroundings=never
    )
    assert result.passed
