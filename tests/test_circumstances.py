"""The notebook's kernel beside a verification: another interpreter, libraries that were replaced under it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from envfix import installing
from envfix.aftercare import still_held
from envfix.circumstances import hinting, surroundings, with_kernel, with_tensorflow, with_wheels
from envfix.installing import NO_PLAN
from envfix.matrix import load
from envfix.model.outcome import REPAIR, Check, Proof, Status, Verification
from envfix.model.request import ANY, Accelerator, InstallOptions, Request
from envfix.model.target import Caller, Distribution, Stale
from envfix.ports import Outside, Ran
from envfix.situation import Parts, Situation, Where
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside
from tests.shipped import matrix
from tests.values import T4, TARGET, changed

LIBRARY = f"{TARGET.purelib}/tensorflow/libtensorflow_cc.so.2"
PASSED = Verification(
    checks=(Check(name="build", status=Status.PASSED, expected="", observed=""),),
    proof=Proof.GPU,
    python="/env/bin/python",
)


def notebook(python: str = "/env/bin/python", maps: str = "") -> FakeOutside:
    """envfix (process 77) started by the shell (60) of a kernel (42)."""
    return FakeOutside(
        files={
            "/proc/self/stat": "77 (envfix) S 60 77",
            "/proc/77/cmdline": "/env/bin/python\0/env/bin/envfix\0verify\0",
            "/proc/60/stat": "60 (bash) S 42 60",
            "/proc/60/cmdline": "bash\0-c\0envfix verify\0",
            "/proc/42/stat": "42 (python) S 9 42",
            "/proc/42/cmdline": f"{python}\0-m\0ipykernel_launcher\0-f\0k.json\0",
            "/proc/42/maps": f"7f00-7f01 r-xp 00000000 00:31 22                    {maps or LIBRARY}\n",
        },
        environ={"JPY_PARENT_PID": "9"},
    )


def kernel_check(
    outside: FakeOutside, where: Where | None = None, accelerator: Accelerator = Accelerator.GPU
) -> Check | None:
    here = Situation(target=TARGET, machine=T4, named=False)
    done = with_kernel(parts_of(outside), here, where or Where(), PASSED, accelerator)
    return next((check for check in done.checks if check.name == "notebook kernel"), None)


def parts_of(outside: Outside) -> Parts:
    def never(*rest: Any) -> Any:
        raise AssertionError("no index and no resolver is asked")

    return Parts(outside=outside, matrix_dir="/matrix", index=never, resolver=never)


def test_libraries_that_were_replaced_since_the_kernel_loaded_them_fail() -> None:
    check = kernel_check(notebook(maps=f"{LIBRARY} (deleted)"))
    assert check is not None
    assert check.status is Status.FAILED
    assert check.cause == "1 library (tensorflow) was replaced since the kernel started"
    assert "Restart" in check.hint


def test_a_kernel_that_holds_what_is_installed_passes() -> None:
    check = kernel_check(notebook())
    assert check is not None
    assert check.status is Status.PASSED
    # Another environment's library that was replaced is not this one's trouble.
    check = kernel_check(notebook(maps="/opt/lib/libx.so (deleted)"))
    assert check is not None
    assert check.status is Status.PASSED


def test_a_kernel_of_another_interpreter_is_named_with_the_command_for_it() -> None:
    check = kernel_check(notebook(python="/usr/bin/python3"))
    assert check is not None
    assert check.status is Status.FAILED
    assert check.hint == "run `envfix verify --python /usr/bin/python3`"
    check = kernel_check(notebook(python="/usr/bin/python3"), Where(machine="no-gpu"), Accelerator.CPU)
    assert check is not None
    assert check.hint == "run `envfix verify --python /usr/bin/python3 --machine no-gpu --accelerator cpu`"


@pytest.mark.parametrize("where", [Where(python="/env/bin/python"), Where(venv="/env")])
def test_an_environment_that_was_asked_for_need_not_be_the_kernels(where: Where) -> None:
    assert kernel_check(notebook(python="/usr/bin/python3"), where) is None


NEEDING = structs.replace(
    TARGET,
    installed=(
        Distribution(name="tensorflow", version="2.20.0", requires=("keras>=3", "torch; extra == 'x'")),
        Distribution(name="keras", version="3.11.0", requires=("ml_dtypes",)),
        Distribution(name="ml-dtypes", version="0.5.1"),
        Distribution(name="torch", version="2.9.0"),
    ),
)


@pytest.mark.parametrize(
    ("pid", "stale", "failed"),
    [
        (42, Stale("ml_dtypes", "0.4.0", "0.5.1"), True),  # by way of keras
        (42, Stale("tensorflow", "2.19.1", "2.20.0"), True),
        (42, Stale("tensorflow-cpu", "2.19.1", None), True),  # gone, so that nothing needs it
        (42, Stale("torch", "2.8.0", "2.9.0"), False),  # nothing that TensorFlow needs
        (43, Stale("tensorflow", "2.19.1", "2.20.0"), False),  # of another process
    ],
)
def test_a_kernel_that_says_what_it_holds_is_believed(pid: int, stale: Stale, failed: bool) -> None:
    caller = Caller(pid=pid, python="/env/bin/python", imported=frozenset(), stale=(stale,))
    parts = structs.replace(parts_of(notebook()), caller=caller)
    done = with_kernel(
        parts, Situation(target=NEEDING, machine=T4, named=False), Where(), PASSED, Accelerator.GPU
    )
    check = done.checks[-1]
    assert (check.name, check.status is Status.FAILED) == ("notebook kernel", failed)
    assert done.passed is not failed and (str(stale) in check.observed) is failed
    assert bool(check.hint) is failed and bool(check.cause) is failed


def test_in_a_terminal_there_is_no_such_check() -> None:
    assert kernel_check(FakeOutside()) is None


def test_a_named_machines_gpus_are_not_looked_for_here() -> None:
    outside = FakeOutside(answers={"python": Ran(("python",), 1, "", "")})
    here = Situation(target=TARGET, machine=T4, named=True)
    about = surroundings(parts_of(outside), here, "/env/bin/python", "", "")
    assert about.gpus == ()
    assert not any("usage.py" in word for argv in outside.ran for word in argv)
    assert about.target == TARGET  # as it was read before, where it cannot be read again
    assert about.without_gpu == ()


def test_a_machine_without_a_gpu_is_told_where_one_is_to_be_had() -> None:
    here = Situation(target=TARGET, machine=changed(T4, gpus=(), driver=None), named=False)
    assert surroundings(parts_of(FakeOutside()), here, "/env/bin/python", "", "").without_gpu


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown error", "driver-unknown-error"),
        ("nothing that is known", None),
        ("", None),
    ],
)
def test_the_catalogue_is_asked_for_tensorflows_words(said: str, cause: str | None) -> None:
    parts = structs.replace(parts_of(RealOutside(quiet=True)), matrix_dir=load.matrix_dir())
    here = Situation(target=TARGET, machine=T4, named=True)
    finding = surroundings(parts, here, "/env/bin/python", "", said).finding
    assert (finding.cause if finding else None) == cause


@pytest.mark.parametrize(("major", "status"), [(12, Status.FAILED), (13, Status.PASSED)])
def test_a_library_that_another_package_took_along_fails_where_tensorflow_needs_it(
    major: int, status: Status
) -> None:
    """cuDNN opens its parts late: no proof of the loader misses them."""
    name, lib = f"nvidia-cudnn-cu{major}", "nvidia/cudnn/lib/libcudnn_adv.so.9"
    info = f"{TARGET.purelib}/{name.replace('-', '_')}-9.3.0.75.dist-info"
    outside = FakeOutside(files={f"{info}/RECORD": f"{lib},sha256=x,4\n"})
    dist = Distribution(name=name, version="9.3.0.75", location=info)
    here = Situation(target=structs.replace(TARGET, installed=(dist,)), machine=T4, named=False)
    proof = structs.replace(PASSED, tensorflow="2.20.0")
    repair = "envfix install --python /env/bin/python"
    check = with_wheels(parts_of(outside), here, matrix(), proof, repair).checks[-1]
    assert (check.name, check.status) == ("NVIDIA wheels", status)
    assert f"{name}: `{TARGET.purelib}/{lib}` is gone" in check.observed
    assert (repair in check.hint) is (status is Status.FAILED)


def test_a_hint_to_install_says_with_which_options() -> None:
    checks = [
        Check(name="libraries", status=Status.FAILED, expected="", observed="", cause="", hint=hint)
        for hint in (REPAIR, "check with `df -h`", "")
    ]
    proof = hinting(structs.replace(PASSED, checks=tuple(checks)), "envfix install --venv demo")
    assert [check.hint for check in proof.checks] == [
        "run `envfix install --venv demo`", "check with `df -h`", "",
    ]  # fmt: skip


def test_a_file_of_tensorflow_that_is_gone_is_named() -> None:
    info = f"{TARGET.purelib}/tensorflow-2.20.0.dist-info"
    outside = FakeOutside(files={f"{info}/RECORD": "tensorflow/a.py,sha256=x,4\n"})
    dist = Distribution(name="tensorflow", version="2.20.0", location=info)
    here = Situation(target=structs.replace(TARGET, installed=(dist,)), machine=T4, named=False)
    check = with_tensorflow(parts_of(outside), here, PASSED, "envfix install").checks[-1]
    assert check.status is Status.FAILED
    assert check.observed == f"tensorflow: `{TARGET.purelib}/tensorflow/a.py` is gone"
    assert check.hint == "run `envfix install`"
    outside.files[f"{TARGET.purelib}/tensorflow/a.py"] = "text"
    assert with_tensorflow(parts_of(outside), here, PASSED, "") == PASSED


def test_without_nvidia_wheels_nothing_is_said_of_them() -> None:
    here = Situation(target=TARGET, machine=T4, named=False)
    assert with_wheels(parts_of(FakeOutside()), here, matrix(), PASSED, "") == PASSED


def test_the_binding_of_nvml_is_no_wheel_with_a_library() -> None:
    binding = Distribution(name="nvidia-ml-py", version="13.580.65")
    here = Situation(target=structs.replace(TARGET, installed=(binding,)), machine=T4, named=False)
    assert with_wheels(parts_of(FakeOutside()), here, matrix(), PASSED, "") == PASSED


@pytest.mark.parametrize(("mapped", "needed"), [(f"{LIBRARY} (deleted)", True), (LIBRARY, None)])
def test_an_install_that_changes_nothing_sees_what_another_one_replaced(
    mapped: str, needed: bool | None
) -> None:
    here = Situation(target=TARGET, machine=T4, named=False)
    advice = still_held(parts_of(notebook(maps=mapped)), here)
    assert (advice.needed if advice else None) is needed
    assert still_held(parts_of(FakeOutside()), here) is None


def test_an_install_that_changes_nothing_hears_what_the_kernel_says_it_holds() -> None:
    here = Situation(target=TARGET, machine=T4, named=False)
    old = Stale("tensorflow", "2.19.1", "2.20.0")
    caller = Caller(pid=42, python="/env/bin/python", imported=frozenset(), stale=(old,))
    advice = still_held(structs.replace(parts_of(notebook()), caller=caller), here)
    assert advice is not None and (advice.needed, advice.kernel_pid) == (True, 42)
    assert advice.reason == f"the kernel holds {old}" and "Restart" in advice.how


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_outcome_of_an_install_that_changes_nothing_has_the_advice(dry_run: bool) -> None:
    here = Situation(target=TARGET, machine=T4, named=False)
    parts, options = parts_of(notebook(maps=f"{LIBRARY} (deleted)")), InstallOptions(approve=print)
    options = structs.replace(options, dry_run=dry_run)
    kept = installing._kept(
        parts, here, Request(tf=ANY), "tensorflow 2.20.0", Accelerator.GPU, NO_PLAN, (), options
    )
    assert bool(kept.restart and kept.restart.needed) is not dry_run
