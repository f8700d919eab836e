"""Why a GPU is not seen: the catalogue of causes, and what it finds in a text and a machine."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from packaging.specifiers import SpecifierSet

from envfix.model.machine import Arch, Machine, Os, Platform
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    DriverCuda,
    DriverRelease,
    GlibcRelease,
    PythonRelease,
)


class Family(str, Enum):
    """The kinds of causes; the names are part of the contract (README, "JSON")."""

    CONTAINER = "container"
    CPU_HOST = "cpu-host"
    CUDA_LIBS_NOT_FOUND = "cuda-libs-not-found"
    CUDA_MAJOR_MISMATCH = "cuda-major-mismatch"
    CUDNN_MISMATCH = "cudnn-mismatch"
    DRIVER_LIB_MISSING_OR_STUB = "driver-lib-missing-or-stub"
    DRIVER_STATE = "driver-state"
    DRIVER_TOO_OLD = "driver-too-old"
    FORWARD_COMPAT = "forward-compat"
    GPU_ARCHITECTURE = "gpu-architecture"
    MEMORY = "memory"
    NO_GPU_ASSIGNED = "no-gpu-assigned"
    NOISE = "noise"
    NOTEBOOK_PROCESS = "notebook-process"
    PIP_RESOLVER = "pip-resolver"
    PYTHON_HAS_NO_WHEEL = "python-has-no-wheel"
    PYTHON_PACKAGE_ABI = "python-package-abi"
    SHARED_WHEELS_WITH_TORCH = "shared-wheels-with-torch"
    TENSORFLOW_GPU_TOMBSTONE = "tensorflow-gpu-tombstone"
    VISIBILITY = "visibility"
    WRONG_BUILD_FOR_PLATFORM = "wrong-build-for-platform"
    XLA_TOOLS = "xla-tools"


class Weight(str, Enum):
    """How much one sighting of a signature says for its cause."""

    SURE = "sure"
    LIKELY = "likely"
    PLAUSIBLE = "plausible"
    HINT = "hint"


class Presence(str, Enum):
    """Whether the machine has a thing, such as a driver; what is not known is neither."""

    PRESENT = "present"
    ABSENT = "absent"


class Amount(str, Enum):
    """Whether the machine has any of a kind of things, such as GPUs; what is not known is neither."""

    NONE = "none"
    SOME = "some"


class Helps(str, Enum):
    """Whom an install helps: nobody, everybody, or only a machine that has an NVIDIA GPU."""

    NOBODY = "nobody"
    WITH_GPU = "with-gpu"
    ANYWHERE = "anywhere"


class Place(str, Enum):
    """For whom a fix is written; the first one of a cause that fits is shown."""

    COLAB = "colab"
    KAGGLE = "kaggle"
    CONTAINER = "container"
    WSL = "wsl"
    WINDOWS = "windows"
    MACOS = "macos"
    JETSON = "jetson"
    CONDA = "conda"
    LINUX = "linux"


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A frozen value whose unknown keys are an error."""


class Condition(_Row, frozen=True):
    """Facts that must all hold. One that is unknown does not hold, and its contrary does not either.

    `_below` and `_from` compare with what is known: below it, or that and above. Of several GPUs every one
    must be below, or any from. `installed` maps names to specifiers ("" is any version), `environment`
    variables to patterns. `told` and `untold` name markers that the text must or must not show.
    """

    driver: Presence | None = None
    driver_below: DriverRelease | None = None
    driver_from: DriverRelease | None = None
    driver_cuda_below: DriverCuda | None = None
    gpus: Amount | None = None
    gpu_named: str | None = None
    capability_below: ComputeCapability | None = None
    capability_from: ComputeCapability | None = None
    os: Os | None = None
    arch: Arch | None = None
    wsl: bool | None = None
    platform: tuple[Platform, ...] = ()
    python_below: PythonRelease | None = None
    python_from: PythonRelease | None = None
    glibc_below: GlibcRelease | None = None
    cpu_lacks: str | None = None
    toolkit: Presence | None = None
    toolkit_below: CudaRelease | None = None
    toolkit_from: CudaRelease | None = None
    cudnn_below: CudnnRelease | None = None
    cudnn_from: CudnnRelease | None = None
    installed: dict[str, SpecifierSet] = {}
    not_installed: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    told: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


class Signature(_Row, frozen=True):
    """One message of a program, as a regular expression that ignores case.

    A space in `says` stands for any white space, so that a message is recognised when it is wrapped.
    `given` (one of them) must hold and none of `unless` may for it to count. `match` and `miss` are texts
    that it must and must not be found in. `seen` names the cases it was written from.
    """

    says: str
    weight: Weight
    match: tuple[str, ...]
    miss: tuple[str, ...]
    given: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    seen: tuple[str, ...] = ()


class Alone(_Row, frozen=True):
    """What the machine's facts say without any text."""

    given: Condition
    weight: Weight
    because: str


class Fix(_Row, frozen=True):
    """Commands or steps; `where` names the places they are for (none: everywhere else)."""

    steps: tuple[str, ...]
    where: tuple[Place, ...] = ()


class Cause(_Row, frozen=True):
    """One cause. `explains` names the causes (or families) whose messages follow from it.

    A `symptom` follows from every other cause that is found, and stands for itself only alone.
    """

    id: str
    family: Family
    explanation: str
    fix: tuple[Fix, ...]
    sources: tuple[str, ...]
    installs: Helps
    benign: bool = False
    symptom: bool = False
    signatures: tuple[Signature, ...] = ()
    alone: tuple[Alone, ...] = ()
    confirm: tuple[Condition, ...] = ()
    raises: tuple[Condition, ...] = ()
    lower: tuple[Condition, ...] = ()
    exclude: tuple[Condition, ...] = ()
    explains: tuple[str, ...] = ()


class Sets(_Row, frozen=True):
    """What of the machine a marker tells."""

    os: Os | None = None
    arch: Arch | None = None
    wsl: bool | None = None
    platform: Platform | None = None
    no_gpu: bool = False


class Marker(_Row, frozen=True):
    """Something a text shows that is no failure: where it comes from, what worked."""

    id: str
    says: tuple[str, ...]
    match: tuple[str, ...]
    miss: tuple[str, ...]
    sets: Sets = Sets()


class Soname(_Row, frozen=True):
    """A library's name and what it belongs to, such as `CUDA 11` or `cuDNN 8`."""

    name: str
    belongs_to: str


class Reading(_Row, frozen=True):
    """How a text tells one fact: patterns with a group `value`."""

    fact: str
    says: tuple[str, ...]
    match: dict[str, str]


class Branch(_Row, frozen=True):
    """The driver's CUDA that a driver branch brings itself: more than that is a compat library's."""

    branch: int
    cuda: DriverCuda


class Build(_Row, frozen=True):
    """What the wheels of a TensorFlow minor release were built with, and the least Linux driver for it."""

    tensorflow: str
    cuda: str
    driver: DriverRelease
    pythons: tuple[PythonRelease, PythonRelease]


class Catalogue(_Row, frozen=True):
    """`failures.yaml` and `log_facts.yaml`: the causes, and how a log tells the facts that judge them."""

    causes: tuple[Cause, ...]
    markers: tuple[Marker, ...]
    readings: tuple[Reading, ...]
    sonames: tuple[Soname, ...]
    branches: tuple[Branch, ...]
    builds: tuple[Build, ...]


class Finding(Struct, frozen=True, kw_only=True):
    """A cause with what shows it.

    `confidence` is between 0 and 1, an order of belief. `follows` names the finding that it comes from.
    """

    cause: str
    family: Family
    confidence: float
    benign: bool
    evidence: tuple[str, ...]
    explanation: str
    fix: tuple[str, ...]
    follows: str | None = None
    sources: tuple[str, ...] = ()


class Explained(Struct, frozen=True, kw_only=True):
    """The findings, the primary cause first; `collect` says what to gather where they are not enough.

    `judged_by` says whose facts were counted; `machine` is None where no machine's were. `gpu_used`: the text
    shows that TensorFlow has a GPU.
    """

    findings: tuple[Finding, ...]
    machine: Machine | None = None
    judged_by: str = ""
    collect: tuple[str, ...] = ()
    gpu_used: bool = False
