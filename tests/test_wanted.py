"""From a release and its bounds to requirements, and whether an environment holds them."""

from __future__ import annotations

from msgspec import structs
from packaging.requirements import Requirement
from packaging.version import Version

from envfix.model.decision import Bound
from envfix.model.machine import Arch
from envfix.model.target import Distribution
from envfix.resolve.wanted import cpu_wanted, gpu_wanted, tensorflow_installed, unmet, unmet_companions
from tests.values import RELEASE, TARGET, with_installed

CUDNN = Bound(requirement="nvidia-cudnn-cu12==9.10.2.21", because="the last with code for Pascal")
NUMPY = Bound(requirement="numpy<2", because="2.10 does not import with numpy 2")


def test_nvidia_wheels_are_asked_for_and_caps_only_hold() -> None:
    wanted = gpu_wanted(RELEASE, TARGET, [CUDNN, NUMPY], [Requirement("torch>=2.6")], "newest")
    assert wanted.roots == ("tensorflow==2.20.0", "nvidia-cudnn-cu12==9.10.2.21", "torch>=2.6")
    assert wanted.caps == ("numpy<2",)
    assert wanted.because["nvidia-cudnn-cu12"] == CUDNN.because
    assert wanted.because["torch"] == "asked for with --with"


def test_the_extra_is_never_asked_for_by_name() -> None:
    assert "and-cuda" not in " ".join(gpu_wanted(RELEASE, TARGET, [CUDNN], [], "newest").roots)


def test_an_environment_that_holds_everything_has_nothing_unmet() -> None:
    wanted = gpu_wanted(RELEASE, TARGET, [CUDNN, NUMPY], [], "newest")
    right = with_installed(tensorflow="2.20.0", nvidia_cudnn_cu12="9.10.2.21", numpy="1.26.4")
    assert unmet(wanted, right) == ()


def test_a_cap_holds_where_its_package_is_absent_but_a_root_does_not() -> None:
    wanted = gpu_wanted(RELEASE, TARGET, [CUDNN, NUMPY], [], "newest")
    assert unmet(wanted, with_installed(tensorflow="2.20.0")) == (
        "nvidia-cudnn-cu12==9.10.2.21 (found none)",
    )


def test_a_wrong_version_is_named_with_what_was_found() -> None:
    wanted = gpu_wanted(RELEASE, TARGET, [CUDNN, NUMPY], [], "newest")
    wrong = with_installed(tensorflow="2.20.0", nvidia_cudnn_cu12="9.28.0.42", numpy="2.1.0")
    assert unmet(wanted, wrong) == (
        "nvidia-cudnn-cu12==9.10.2.21 (found 9.28.0.42)",
        "numpy<2 (found 2.1.0)",
    )


def test_the_cpu_build_is_tensorflow_cpu_unless_something_needs_the_other_name() -> None:
    assert cpu_wanted(RELEASE, TARGET, [CUDNN, NUMPY], [], "cpu").roots == ("tensorflow-cpu==2.20.0",)
    assert cpu_wanted(RELEASE, TARGET, [CUDNN, NUMPY], [], "cpu").caps == ("numpy<2",)
    needs = with_installed(tf_keras="2.20.0")
    needs = structs.replace(
        needs, installed=(structs.replace(needs.installed[0], requires=("tensorflow<2.21,>=2.20",)),)
    )
    assert cpu_wanted(RELEASE, needs, [], [], "cpu").roots == ("tensorflow==2.20.0",)
    only_extra = structs.replace(
        needs, installed=(structs.replace(needs.installed[0], requires=('tensorflow; extra == "tf"',)),)
    )
    assert cpu_wanted(RELEASE, only_extra, [], [], "cpu").roots == ("tensorflow-cpu==2.20.0",)
    arm = structs.replace(TARGET, arch=Arch.AARCH64)
    assert cpu_wanted(RELEASE, arm, [], [], "cpu").roots == ("tensorflow==2.20.0",)


def test_an_installed_tensorflow_of_the_release_stays_as_the_cpu_build() -> None:
    here, older = with_installed(tensorflow="2.20.0"), with_installed(tensorflow="2.19.0")
    assert cpu_wanted(RELEASE, here, [], [], "cpu").roots == ("tensorflow==2.20.0",)
    assert cpu_wanted(RELEASE, older, [], [], "cpu").roots == ("tensorflow-cpu==2.20.0",)


def test_an_old_name_of_the_same_build_stays_until_something_needs_the_new_one() -> None:
    release = structs.replace(RELEASE, version=Version("2.10.0"))
    old = with_installed(tensorflow_gpu="2.10.0")
    assert gpu_wanted(release, old, [], [], "kept").roots == ("tensorflow-gpu==2.10.0",)
    assert gpu_wanted(release, with_installed(tensorflow_gpu="2.9.0"), [], [], "x").roots == (
        "tensorflow==2.10.0",
    )
    user = Distribution(name="tf-text", version="2.10.0", requires=("tensorflow>=2.10",))
    needed = structs.replace(old, installed=(*old.installed, user))
    assert gpu_wanted(release, needed, [], [], "x").roots == ("tensorflow==2.10.0",)
    # The last one with that name has nothing in it but a sentence.
    empty = structs.replace(RELEASE, version=Version("2.12.0"))
    assert gpu_wanted(empty, with_installed(tensorflow_gpu="2.12.0"), [], [], "x").roots == (
        "tensorflow==2.12.0",
    )


def test_a_requirement_from_before_its_standard_binds_nobody() -> None:
    old = with_installed(old="1.0")
    old = structs.replace(old, installed=(structs.replace(old.installed[0], requires=("x (>dev)",)),))
    assert cpu_wanted(RELEASE, old, [], [], "cpu").roots == ("tensorflow-cpu==2.20.0",)


def test_tensorflow_is_found_under_each_of_its_names() -> None:
    assert tensorflow_installed(TARGET) is None
    found = tensorflow_installed(with_installed(numpy="2.0", tensorflow_cpu="2.20.0"))
    assert found is not None and found.name == "tensorflow-cpu"


def test_an_extra_is_met_when_what_it_asks_for_is_there() -> None:
    jax = Distribution(
        name="jax", version="0.7.0", requires=("numpy", 'jax-cuda12-plugin>=0.7; extra == "cuda12"')
    )
    alone = structs.replace(TARGET, installed=(jax,))
    asked = [Requirement("jax[cuda12]")]
    assert unmet_companions(asked, alone) == ("jax[cuda12]",)
    plugin = Distribution(name="jax-cuda12-plugin", version="0.7.0")
    assert unmet_companions(asked, structs.replace(TARGET, installed=(jax, plugin))) == ()
    assert unmet_companions([Requirement("jax")], alone) == ()


def test_what_is_not_meant_for_this_machine_is_not_missing() -> None:
    assert unmet_companions([Requirement("pywin32; sys_platform == 'win32'")], TARGET) == ()
