"""Driver and GPUs: what each source's transcript says, and what the sources come to together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from envfix.model.machine import Driver, Gpu, Outcome
from envfix.model.versions import ComputeCapability, DriverCuda, DriverRelease
from envfix.ports import Ran
from envfix.probe import driver_api, kernel_module, nvidia_smi, nvml
from envfix.probe.driver import merge_driver
from envfix.probe.gpus import hidden_devices, merge_gpus, pci_devices
from envfix.probe.nvidia_reading import Reading, as_cuda, as_gpu, as_release
from tests.fakes import FakeOutside

DATA = Path(__file__).parent / "data" / "probe"


def transcript(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def ran(out: str = "", code: int | None = 0, err: str = "", timed_out: bool = False) -> Ran:
    error = "timed out after 5 s" if timed_out else ""
    return Ran(("program",), None if timed_out else code, out, err, timed_out, error)


def smi(out: str, code: int = 0) -> FakeOutside:
    return FakeOutside(programs={"nvidia-smi": "/usr/bin/nvidia-smi"}, answers={"nvidia-smi": ran(out, code)})


# -- the table of nvidia-smi


@pytest.mark.parametrize(
    ("name", "release", "cuda", "gpus"),
    [
        ("smi_384_v100.txt", "384.81", None, [("Tesla V100-SXM2", 16152)]),
        ("smi_470_k80.txt", "470.82.01", "11.4", [("Tesla K80", 11441), ("Tesla K80", 11441)]),
        ("smi_535_t4.txt", "535.104.05", "12.2", [("Tesla T4", 15360)]),
        # A MIG device is a part of a GPU and no GPU of its own.
        ("smi_550_a100_mig.txt", "550.54.15", "12.4", [("NVIDIA A100-SXM4-40GB", 40960)]),
        # Under WSL the program is older than the Windows driver: the driver's release is what counts.
        ("smi_551_wsl.txt", "551.61", "12.4", [("NVIDIA GeForce RTX 4090", 24564)]),
        ("smi_580_gb10.txt", "580.95.05", "13.0", [("NVIDIA GB10", UNSET)]),
        ("smi_610_rtx5060.txt", "610.57.04", "13.3", [("NVIDIA GeForce RTX 5060 Ti", 16311)]),
        ("smi_535_no_libcuda.txt", "535.104.05", None, [(UNSET, UNSET)]),
    ],
)
def test_table_of_every_generation(
    name: str, release: str, cuda: str | None, gpus: list[tuple[object, object]]
) -> None:
    found_release, found_cuda, found_gpus = nvidia_smi.parse_table(transcript(name))
    assert str(found_release) == release
    assert (str(found_cuda) if found_cuda else None) == cuda
    assert [(gpu.name, gpu.memory_mib) for gpu in found_gpus] == gpus


@pytest.mark.parametrize("name", ["rubbish.txt", "smi_mismatch.txt", "smi_no_driver.txt", "query_t4.csv"])
def test_table_without_its_head_gives_nothing(name: str) -> None:
    assert nvidia_smi.parse_table(transcript(name)) == (None, None, ())


def test_driver_cuda_and_driver_release_are_not_confused() -> None:
    reading = nvidia_smi.read_table(smi(transcript("smi_535_t4.txt")), "/usr/bin/nvidia-smi", 5)
    assert (reading.release, reading.cuda) == (DriverRelease("535.104.05"), DriverCuda("12.2"))
    # Compared by its numbers: as strings "535.104.05" < "535.54.03".
    assert reading.release is not None and reading.release > DriverRelease("535.54.03")


# -- the CSV of nvidia-smi


def test_query_lists_every_gpu() -> None:
    release, gpus = nvidia_smi.parse_query(transcript("query_t4x2.csv"))
    one = Gpu(name="Tesla T4", compute_capability=ComputeCapability("7.5"), memory_mib=15360)
    assert (release, gpus) == (DriverRelease("560.35.03"), (one, one))


def test_query_keeps_a_comma_in_the_name_and_leaves_out_what_is_not_available() -> None:
    release, gpus = nvidia_smi.parse_query(transcript("query_odd.csv"))
    assert release == DriverRelease("552.22")
    assert [(gpu.name, gpu.memory_mib) for gpu in gpus] == [
        ("NVIDIA RTX A6000, Ada", 49140),
        ("NVIDIA GB10", UNSET),
        (UNSET, UNSET),
    ]
    assert [str(gpu.compute_capability) for gpu in gpus[:2]] == ["8.9", "12.1"]


def test_query_asks_an_old_driver_without_compute_capability() -> None:
    def answer(argv: Sequence[str], stdin: str | None) -> Ran:
        old = "compute_cap" not in argv[1]
        return ran(transcript("query_old.csv" if old else "query_old_refusal.txt"), 0 if old else 2)

    outside = FakeOutside(answers={"nvidia-smi": answer})
    reading = nvidia_smi.read_query(outside, "/usr/bin/nvidia-smi", 5)
    assert reading.release == DriverRelease("470.82.01")
    assert reading.gpus is not None and [gpu.memory_mib for gpu in reading.gpus] == [11441, 11441]


@pytest.mark.parametrize("name", ["rubbish.txt", "smi_535_t4.txt"])
def test_query_takes_no_driver_from_rubbish(name: str) -> None:
    assert nvidia_smi.parse_query(transcript(name)) == (None, ())


# -- the ways in which nvidia-smi refuses

REFUSALS = [
    ("smi_no_driver.txt", 9, Outcome.ABSENT, "couldn't communicate"),
    ("smi_mismatch.txt", 18, Outcome.FAILED, "Driver/library version mismatch"),
    ("smi_unknown_error.txt", 255, Outcome.FAILED, "Unknown Error"),
    ("smi_lost.txt", 255, Outcome.FAILED, "Unable to determine the device handle"),
    # The documented exit codes count whatever else is said; the others are failures.
    ("rubbish.txt", 9, Outcome.ABSENT, "no driver is loaded: exit 9"),
    ("rubbish.txt", 12, Outcome.ABSENT, "library NVML is not there: exit 12"),
    ("rubbish.txt", 6, Outcome.FAILED, "exit 6"),
    ("rubbish.txt", 15, Outcome.FAILED, "exit 15"),
    ("rubbish.txt", 0, Outcome.FAILED, ""),
    ("rubbish.txt", 3, Outcome.FAILED, "exit 3"),
]


@pytest.mark.parametrize(("name", "code", "outcome", "words"), REFUSALS)
@pytest.mark.parametrize("read", [nvidia_smi.read_query, nvidia_smi.read_table])
def test_refusals_are_evidence_in_the_tools_own_words(
    name: str, code: int, outcome: Outcome, words: str, read: object
) -> None:
    reading = read(smi(transcript(name), code), "/usr/bin/nvidia-smi", 5)  # type: ignore[operator]
    assert (reading.runs, reading.release, reading.gpus) == (False, None, None)
    [piece] = reading.evidence
    assert piece.outcome is outcome
    assert words in piece.detail


@pytest.mark.parametrize("read", [nvidia_smi.read_query, nvidia_smi.read_table])
@pytest.mark.parametrize(
    ("code", "absent"), [(0, True), (9, True), (12, True), (1, False), (6, False), (15, False), (-11, False)]
)
def test_a_silent_answer_is_judged_by_its_exit_code(code: int, absent: bool, read: object) -> None:
    reading = read(smi("\n", code), "/usr/bin/nvidia-smi", 5)  # type: ignore[operator]
    assert not reading.runs and reading.is_absent is absent and reading.has_failed is not absent


def test_an_empty_file_in_the_place_of_nvidia_smi_is_no_driver() -> None:
    refused = Ran(("/usr/bin/nvidia-smi",), None, "", "", error="could not be started: Exec format error")
    for content, absent in (("", True), ("\x7fELF", False)):
        outside = FakeOutside(files={"/usr/bin/nvidia-smi": content}, answers={"nvidia-smi": refused})
        reading = nvidia_smi.read_table(outside, "/usr/bin/nvidia-smi", 5)
        assert reading.is_absent is absent
        assert ("is an empty file where the host's driver" in reading.evidence[0].detail) is absent


def test_a_hanging_nvidia_smi_is_a_timeout() -> None:
    outside = FakeOutside(answers={"nvidia-smi": ran(timed_out=True)})
    assert nvidia_smi.read_query(outside, "/x/nvidia-smi", 5).evidence[0].outcome is Outcome.TIMEOUT


def test_no_devices_means_a_driver_without_gpus() -> None:
    reading = nvidia_smi.read_query(smi(transcript("smi_no_devices.txt"), 6), "/usr/bin/nvidia-smi", 5)
    assert (reading.runs, reading.gpus) == (True, ())


def test_nvidia_smi_is_found_outside_path() -> None:
    assert nvidia_smi.find_nvidia_smi(FakeOutside(files={"/opt/bin/nvidia-smi": ""})) == "/opt/bin/nvidia-smi"
    assert nvidia_smi.find_nvidia_smi(FakeOutside()) is None


# -- the kernel module


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("nvrm_550.txt", "550.54.15"),
        ("nvrm_580_open.txt", "580.65.06"),
        ("nvrm_535_open_aarch64.txt", "535.230.02"),
    ],
)
def test_release_of_the_proprietary_and_the_open_module(name: str, release: str) -> None:
    outside = FakeOutside(files={kernel_module.PROC_VERSION: transcript(name)})
    assert kernel_module.read_proc_version(outside).release == DriverRelease(release)


def test_a_gcc_version_is_no_driver() -> None:
    text = "GCC version:  gcc version 550.54.15 (Ubuntu)\nNVRM version: NVIDIA UNIX Kernel Module  unknown\n"
    reading = kernel_module.read_proc_version(FakeOutside(files={kernel_module.PROC_VERSION: text}))
    assert reading.release is None and reading.has_failed


def test_an_unreadable_proc_file_is_a_failure_and_a_missing_one_is_none() -> None:
    denied = FakeOutside(files={kernel_module.PROC_VERSION: PermissionError(13, "Permission denied")})
    assert kernel_module.read_proc_version(denied).evidence[0].outcome is Outcome.FAILED
    assert kernel_module.read_proc_version(FakeOutside()).evidence[0].outcome is Outcome.ABSENT


def test_sys_version_and_gpu_names() -> None:
    outside = FakeOutside(
        files={
            kernel_module.SYS_VERSION: "550.54.15\n",
            f"{kernel_module.PROC_GPUS}/0000:07:00.0/information": transcript("gpu_information_a100.txt"),
        }
    )
    assert kernel_module.read_sys_version(outside).release == DriverRelease("550.54.15")
    assert kernel_module.read_proc_gpus(outside).gpus == (Gpu(name="NVIDIA A100-SXM4-40GB"),)


# -- NVML and the driver API, whose children answer with an object


def child(mark: str, answer: object, **fields: object) -> FakeOutside:
    out = f"noise\n{mark}{json.dumps(answer)}\n"
    return FakeOutside(answers={"python": ran(out)}, **fields)  # type: ignore[arg-type]


T4 = {"name": "Tesla T4", "capability": [7, 5], "memory": 15360 << 20}
T4_GPU = Gpu(name="Tesla T4", compute_capability=ComputeCapability("7.5"), memory_mib=15360)


def test_nvml_answer() -> None:
    answer = {"status": "ok", "release": "550.54.15", "cuda": 12040, "gpus": [T4], "trouble": ""}
    reading = nvml.read_nvml(child(nvml.MARK, answer), 5, "/x/python")
    assert (reading.release, reading.cuda, reading.gpus) == (
        DriverRelease("550.54.15"),
        DriverCuda("12.4"),
        (T4_GPU,),
    )


def test_what_nvml_cannot_tell_is_evidence_with_its_reason() -> None:
    old = {"name": "Tesla K80", "capability": None, "memory": 11441 << 20}
    missed = [["driver.cuda", "nvmlSystemGetCudaDriverVersion: Function Not Found"], "rubbish", ["short"]]
    answer = {"status": "ok", "release": "390.157", "cuda": None, "gpus": [old], "missed": missed}
    reading = nvml.read_nvml(child(nvml.MARK, answer), 5, "/x/python")
    assert reading.runs and reading.cuda is None and reading.gpus is not None
    [piece] = [one for one in reading.evidence if one.outcome is Outcome.FAILED]
    assert (piece.fact, piece.detail) == ("driver.cuda", missed[0][1])
    # What one call could not tell leaves the driver and the GPU known.
    assert merge_driver([reading])[0] == Driver(release=DriverRelease("390.157"))
    assert merge_gpus([reading])[0] == reading.gpus


def test_nvml_that_cannot_count_its_devices_does_not_say_that_there_is_none() -> None:
    answer = {"status": "ok", "release": "550.54.15", "cuda": 12040, "gpus": [], "trouble": "GPU is lost"}
    reading = nvml.read_nvml(child(nvml.MARK, answer), 5, "/x/python")
    assert reading.gpus is None and reading.has_failed
    assert merge_gpus([reading])[0] is UNSET
    assert merge_driver([reading])[0] == Driver(release=DriverRelease("550.54.15"), cuda=DriverCuda("12.4"))


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (
            {"status": "error", "code": 18, "text": "Driver/library version mismatch"},
            Outcome.FAILED,
            "nvmlInit returned 18: Driver/library version mismatch",
        ),
        ({"status": "error", "code": 9, "text": "Driver Not Loaded"}, Outcome.ABSENT, "no driver is loaded"),
        (
            {
                "status": "not-loaded",
                "text": "libnvidia-ml.so.1: cannot open shared object file: No such file or directory",
            },
            Outcome.ABSENT,
            "no libnvidia-ml.so.1",
        ),
        (
            {"status": "not-loaded", "text": "libnvidia-ml.so.1: file too short"},
            Outcome.ABSENT,
            "libnvidia-ml.so.1 is an empty file where the host's driver should be mounted",
        ),
        (
            {"status": "not-loaded", "text": "libnvidia-ml.so.1: invalid ELF header"},
            Outcome.FAILED,
            "invalid ELF header",
        ),
        (
            {
                "status": "not-loaded",
                "text": "libnvidia-x.so: cannot open shared object file: No such file or directory",
            },
            Outcome.FAILED,
            "libnvidia-x.so",
        ),
        ({"status": "no-bindings", "text": "No module named 'pynvml'"}, Outcome.FAILED, "pynvml"),
        ({}, Outcome.FAILED, "without a status"),
    ],
)
def test_nvml_refusals(answer: object, outcome: Outcome, words: str) -> None:
    reading = nvml.read_nvml(child(nvml.MARK, answer), 5, "/x/python")
    [piece] = reading.evidence
    assert (reading.runs, piece.outcome) == (False, outcome)
    assert words in piece.detail


def test_a_library_where_the_loader_does_not_look_is_named() -> None:
    answer = {
        "status": "not-loaded",
        "text": "libcuda.so.1: cannot open shared object file: No such file or directory",
    }
    outside = child(driver_api.MARK, answer, files={"/usr/lib64-nvidia/libcuda.so.1": ""})
    reading = driver_api.read_driver_api(outside, 5, "/x/python")
    assert reading.has_failed and "/usr/lib64-nvidia" in reading.evidence[0].detail


@pytest.mark.parametrize(
    "out", ["", "rubbish", nvml.MARK, nvml.MARK + "{", nvml.MARK + "[1]", nvml.MARK + "null"]
)
def test_a_child_without_an_answer_is_a_failure(out: str) -> None:
    outside = FakeOutside(answers={"python": ran(out, -11)})
    [piece] = nvml.read_nvml(outside, 5, "/x/python").evidence
    assert piece.outcome is Outcome.FAILED and "SIGSEGV" in piece.detail


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        (100, Outcome.ABSENT, "CUDA_ERROR_NO_DEVICE"),
        (34, Outcome.ABSENT, "toolkit's stub"),
        (803, Outcome.FAILED, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
        (999, Outcome.FAILED, "CUDA_ERROR_UNKNOWN"),
        (12345, Outcome.FAILED, "12345"),
    ],
)
def test_cuinit_that_refuses_proves_no_driver(code: int, outcome: Outcome, words: str) -> None:
    answer = {"status": "ok", "cuda": 12040, "init": code, "gpus": []}
    reading = driver_api.read_driver_api(child(driver_api.MARK, answer), 5, "/x/python")
    [piece] = reading.evidence
    assert (reading.runs, piece.outcome) == (False, outcome)
    assert words in piece.detail


def test_driver_api_sees_what_a_variable_hides() -> None:
    seen: dict[str, str] = {}

    class Recording(FakeOutside):
        def run(self, argv, **options):  # type: ignore[no-untyped-def]
            seen.update(options["env"])
            return ran(driver_api.MARK + json.dumps({"status": "ok", "init": 0, "count": 0, "gpus": [T4]}))

    outside = Recording(environ={"CUDA_VISIBLE_DEVICES": "-1", "LD_LIBRARY_PATH": "/x"})
    assert driver_api.read_driver_api(outside, 5, "/x/python").gpus == (T4_GPU,)
    assert seen == {"LD_LIBRARY_PATH": "/x", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.parametrize(
    ("value", "hidden"),
    [("-1", True), ("", True), (" ", True), ("-1,0", True), ("0", False), ("1,-1", False)],
)
def test_hidden_devices_are_evidence(value: str, hidden: bool) -> None:
    found = hidden_devices(FakeOutside(environ={"CUDA_VISIBLE_DEVICES": value}))
    assert bool(found) is hidden


def test_no_variable_hides_nothing() -> None:
    assert hidden_devices(FakeOutside()) == ()


# -- merging


def reading(source: str, **facts: object) -> Reading:
    return Reading(source=source, runs=True, **facts)  # type: ignore[arg-type]


def absent(source: str, fact: str = "driver") -> Reading:
    return Reading(source=source, evidence=(_piece(source, Outcome.ABSENT, fact),))


def failed(source: str, outcome: Outcome = Outcome.FAILED, fact: str = "driver") -> Reading:
    return Reading(source=source, evidence=(_piece(source, outcome, fact),))


def _piece(source: str, outcome: Outcome, fact: str):  # type: ignore[no-untyped-def]
    from envfix.model.machine import Evidence

    return Evidence(fact=fact, source=source, outcome=outcome)


def test_no_driver_only_where_every_source_says_so() -> None:
    everywhere = [absent(nvml.SOURCE), absent(driver_api.SOURCE), absent("/proc/driver/nvidia/version")]
    assert merge_driver(everywhere)[0] is None
    assert merge_gpus(everywhere)[0] == ()


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMEOUT])
def test_a_source_that_failed_leaves_the_driver_unknown(outcome: Outcome) -> None:
    readings = [failed(nvml.SOURCE, outcome), absent(driver_api.SOURCE)]
    assert merge_driver(readings)[0] is UNSET
    assert merge_gpus(readings)[0] is UNSET


def test_a_mismatch_keeps_the_release_of_the_module_and_the_gpus_it_lists() -> None:
    readings = [
        failed(nvml.SOURCE),
        failed(driver_api.SOURCE, fact="gpus"),
        reading("/proc/driver/nvidia/version", release=DriverRelease("550.54.15")),
        Reading(source=kernel_module.PROC_GPUS, gpus=(Gpu(name="Tesla T4"),)),
    ]
    assert merge_driver(readings)[0] == Driver(release=DriverRelease("550.54.15"))
    assert merge_gpus(readings)[0] == (Gpu(name="Tesla T4"),)


def test_a_container_sees_its_hosts_module_but_not_its_gpus() -> None:
    readings = [
        absent(nvml.SOURCE),
        absent(driver_api.SOURCE),
        absent(nvidia_smi.TABLE_SOURCE),
        reading("/proc/driver/nvidia/version", release=DriverRelease("550.54.15")),
        Reading(source=kernel_module.PROC_GPUS, gpus=(Gpu(name="Tesla T4"),)),
    ]
    assert merge_driver(readings)[0] == Driver(release=DriverRelease("550.54.15"))
    assert merge_gpus(readings)[0] == ()


def test_disagreeing_sources_are_evidence_and_the_more_trusted_one_wins() -> None:
    readings = [
        reading(nvml.SOURCE, release=DriverRelease("550.54.15"), cuda=DriverCuda("12.4"), gpus=(T4_GPU,)),
        reading(driver_api.SOURCE, cuda=DriverCuda("12.8"), gpus=()),
        reading("/proc/driver/nvidia/version", release=DriverRelease("550.127.08")),
    ]
    driver, conflicts = merge_driver(readings)
    # libcuda (here of a cuda-compat package) is what TensorFlow will ask.
    assert driver == Driver(release=DriverRelease("550.54.15"), cuda=DriverCuda("12.8"))
    assert [one.fact for one in conflicts] == ["driver.release", "driver.cuda"]
    assert "550.127.08" in conflicts[0].detail and conflicts[0].outcome is Outcome.FAILED
    gpus, gpu_conflicts = merge_gpus(readings)
    assert gpus == (T4_GPU,) and "lists 0" in gpu_conflicts[0].detail


def test_agreeing_sources_are_no_conflict() -> None:
    readings = [
        reading(nvml.SOURCE, release=DriverRelease("535.54.03"), gpus=(T4_GPU,)),
        reading("/sys/module/nvidia/version", release=DriverRelease("535.54.03")),
    ]
    assert merge_driver(readings)[1] == () and merge_gpus(readings)[1] == ()


def test_a_libcuda_that_cannot_start_is_trusted_last_for_its_cuda() -> None:
    readings = [
        reading(nvml.SOURCE, release=DriverRelease("535.54.03"), cuda=DriverCuda("12.2")),
        Reading(source=driver_api.SOURCE, cuda=DriverCuda("13.0")),
    ]
    driver, conflicts = merge_driver(readings)
    assert isinstance(driver, Driver) and driver.cuda == DriverCuda("12.2") and len(conflicts) == 1


def test_libcuda_alone_without_a_device_is_no_driver() -> None:
    readings = [absent(nvml.SOURCE), Reading(source=driver_api.SOURCE, cuda=DriverCuda("12.4"), gpus=())]
    assert merge_driver(readings)[0] is None


def test_a_gpu_is_completed_from_another_source_only_when_it_is_the_same() -> None:
    named = Gpu(name="Tesla V100-SXM2")
    whole = Gpu(name="Tesla V100-SXM2-16GB", compute_capability=ComputeCapability("7.0"), memory_mib=16160)
    together, _ = merge_gpus([reading(nvml.SOURCE, gpus=(named,)), reading("nvidia-smi", gpus=(whole,))])
    assert together == (
        Gpu(name="Tesla V100-SXM2", compute_capability=ComputeCapability("7.0"), memory_mib=16160),
    )
    other, _ = merge_gpus([reading(nvml.SOURCE, gpus=(Gpu(name="Tesla T4"),)), reading("x", gpus=(whole,))])
    assert other == (Gpu(name="Tesla T4"),)


# -- the PCI bus


def pci(vendor: str, kind: str) -> FakeOutside:
    folder = "/sys/bus/pci/devices/0000:00:04.0"
    return FakeOutside(
        files={f"{folder}/vendor": vendor, f"{folder}/class": kind, f"{folder}/device": "0x1eb8\n"}
    )


def test_an_nvidia_controller_without_a_driver_is_evidence() -> None:
    [piece] = pci_devices(pci("0x10de\n", "0x030200\n"))
    assert piece.outcome is Outcome.FOUND and piece.detail == "0000:00:04.0 [10de:1eb8]"


@pytest.mark.parametrize(("vendor", "kind"), [("0x8086\n", "0x030000\n"), ("0x10de\n", "0x040300\n")])
def test_another_vendor_or_the_cards_audio_is_no_gpu(vendor: str, kind: str) -> None:
    assert pci_devices(pci(vendor, kind))[0].outcome is Outcome.ABSENT


# -- whatever is thrown at the parsers

WORDS = (
    *(
        "| NVIDIA-SMI ",
        "Driver Version:",
        "KMD Version: ",
        "CUDA Version: ",
        "550.54",
        "12",
        "N/A",
        " |",
        "\n",
    ),
    *(
        "|   0  Tesla T4 Off | 00000000:00:04.0",
        "MiB / ",
        "0, ",
        "[N/A]",
        "9999999999",
        "7.5",
        "é",
        "\0",
        "...",
    ),
)
TEXTS = st.text() | st.lists(st.sampled_from(WORDS)).map("".join)


@given(TEXTS)
def test_no_text_makes_a_parser_raise(text: str) -> None:
    release, cuda, _ = nvidia_smi.parse_table(text)
    assert release is None or str(release) in text
    assert cuda is None or (release is not None and str(cuda) in text)
    release, gpus = nvidia_smi.parse_query(text)
    assert release is not None or gpus == ()
    nvrm = kernel_module.parse_nvrm(text)
    assert nvrm is None or "NVRM version: NVIDIA UNIX" in text
    assert kernel_module.parse_model(text) in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["status", "release", "cuda", "gpus", "init", "count", "text", "code", "trouble"])


@given(st.dictionaries(KEYS, JSON | st.just("ok"), max_size=9))
def test_no_answer_of_a_child_makes_a_reader_raise(answer: dict[str, object]) -> None:
    for module, read in ((nvml, nvml.read_nvml), (driver_api, driver_api.read_driver_api)):
        found = read(child(module.MARK, answer), 5, "/x/python")
        assert found.release is None or answer["release"] == str(found.release)
        assert all(len(one.detail) <= 300 for one in found.evidence)


@given(JSON)
def test_no_value_makes_a_reader_of_one_fact_raise(value: object) -> None:
    assert as_release(value) is None or isinstance(value, str)
    assert as_cuda(value) is None or isinstance(value, int)
    as_gpu(value)


@given(st.tuples(st.integers(5, 99), st.integers(0, 9)))
def test_cuda_is_decoded_as_the_driver_encodes_it(pair: tuple[int, int]) -> None:
    assert str(as_cuda(1000 * pair[0] + 10 * pair[1])) == f"{pair[0]}.{pair[1]}"
