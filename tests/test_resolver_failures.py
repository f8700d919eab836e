"""What uv and pip printed when they failed, and the one sentence that is made of it."""

from __future__ import annotations

import pytest

from envfix.errors import EnvfixError, IndexUnreachable, InputError, ResolutionFailed
from envfix.ports import Ran
from envfix.resolve import pip_tools_failure, uv_failure
from envfix.system.index import _reason

NETWORK = "check the network and pip's `index-url`, or use `--offline`"


def ended(text: str, code: int | None = 1, **more: object) -> Ran:
    return Ran(("uv",), code, "", text, **more)  # type: ignore[arg-type]


def by_uv(text: str, offline: bool = False) -> EnvfixError:
    return uv_failure.failure(ended(text), 900, offline, "/home/me/.cache/uv")


REFUSED = """error: Request failed after 3 retries in 6.1s
  cause: Failed to fetch: https://me:s3cr3t@index.example:8443/simple/tensorflow/
  cause: error sending request for url (https://index.example:8443/simple/tensorflow/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
OLDER = """error: Failed to fetch: `https://index.example/simple/tensorflow/`
  Caused by: HTTP status server error (502 Bad Gateway) for url (https://index.example/simple/tensorflow/)
"""
CERTIFICATE = """error: Failed to fetch: https://index.example/simple/tensorflow/
  cause: error sending request for url (https://index.example/simple/tensorflow/)
  cause: client error (Connect)
  cause: invalid peer certificate: UnknownIssuer

hint: Consider enabling use of system TLS certificates with the `--system-certs` command-line flag
"""
PROXY = """error: Failed to fetch: https://index.example/simple/tensorflow/
  cause: error sending request for url (https://index.example/simple/tensorflow/)
  cause: client error (Connect)
  cause: tunnel error: failed to create underlying connection
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            REFUSED,
            "the package index at `index.example:8443` did not answer: Connection refused",
            NETWORK,
        ),
        (OLDER, "the package index at `index.example` answered HTTP 502 Bad Gateway", NETWORK),
        (
            CERTIFICATE,
            "the package index at `index.example` did not answer: invalid peer certificate: UnknownIssuer",
            "name the certificate of its authority: export PIP_CERT=/path/to/ca.pem",
        ),
        (
            PROXY,
            "the package index at `index.example` did not answer: Connection refused (by way of the proxy)",
            "check the proxy: `pip config debug` shows where it is set",
        ),
        (
            "error: Received some unexpected HTML from `https://index.example/simple/x/`\n"
            "  cause: no title\n",
            "https://index.example/simple/x/ is no page of a package index: received some unexpected HTML",
            "check pip's `index-url`: `pip config debug` shows where it is set",
        ),
    ],
)
def test_uvs_network_errors_are_one_sentence_about_the_host(text: str, message: str, hint: str) -> None:
    problem = by_uv(text)
    assert isinstance(problem, IndexUnreachable)
    assert (problem.message, problem.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "error: Failed to read `--find-links` directory: /w\n"
            "  cause: No such file or directory (os error 2)\n",
            "uv does not accept the request: Failed to read `--find-links` directory: /w: "
            "No such file or directory",
        ),
        (
            "error: invalid value 'http://h:x/' for '--index-url <INDEX_URL>': invalid port number\n\n"
            "For more information, try '--help'.\n",
            "uv does not accept the request: invalid value 'http://h:x/' for '--index-url <INDEX_URL>': "
            "invalid port number",
        ),
        (
            "error: Failed to write to the distribution cache\n"
            "  cause: No space left on device (os error 28)\n",
            "uv cannot write its cache `/home/me/.cache/uv`: No space left on device",
        ),
        (
            "error: Failed to initialize cache at `/home/me/.cache/uv`\n"
            "  cause: failed to create directory `/home/me/.cache/uv`: Permission denied (os error 13)\n",
            "uv cannot write its cache `/home/me/.cache/uv`: Permission denied",
        ),
    ],
)
def test_what_the_user_can_mend_is_an_input_error(text: str, message: str) -> None:
    problem = by_uv(text)
    assert isinstance(problem, InputError) and problem.message == message


def test_an_empty_cache_is_said_with_what_asked_for_it() -> None:
    text = (
        "error: No solution found when resolving dependencies\n"
        "  cause: Because x was not found in the cache and you require x, it cannot be.\n\n"
        "hint: Packages were unavailable because the network was disabled.\n"
    )
    for offline, name in ((True, "--offline"), (False, "UV_OFFLINE")):
        problem = by_uv(text, offline)
        assert isinstance(problem, IndexUnreachable)
        assert problem.message == (
            f"{name}: uv's cache does not hold what this solution needs: "
            "Because x was not found in the cache and you require x, it cannot be"
        )


def test_a_conflict_and_a_time_out_and_silence_are_told_apart() -> None:
    conflict = by_uv("error: No solution found\n  cause: Because a needs b, they conflict.\n")
    assert type(conflict) is ResolutionFailed and "a needs b" in conflict.message
    slow = uv_failure.failure(ended("", None, timed_out=True), 900, False, "/c")
    assert type(slow) is IndexUnreachable and "within 900 s" in slow.message
    assert by_uv("").message == "uv could not resolve: it gave no reason"


def test_an_index_that_refuses_is_told_from_one_that_has_nothing() -> None:
    said = "error: No solution found\n  cause: Because x was not found in the package registry.\n\n"
    hint = (
        "hint: An index URL (http://h/simple) could not be queried due to a lack of valid "
        "authentication credentials (401 Unauthorized)\n"
    )
    assert uv_failure.knows_nothing(ended(said)) and uv_failure.refusal(ended(said)) is None
    refused = uv_failure.refusal(ended(said + hint))
    assert refused is not None
    assert refused.message == "the package index at `h` answered HTTP 401 Unauthorized"
    assert not uv_failure.knows_nothing(ended("error: No solution found\n  cause: Because a needs b.\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "pip._vendor.requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: "
            "https://index.example/simple/x/\n",
            "the package index at `index.example` answered HTTP 503 Service Unavailable",
        ),
        (
            "pip._vendor.requests.exceptions.ConnectionError: HTTPSConnectionPool(host='index.example', "
            "port=443): Max retries exceeded with url: /x.whl (Caused by NewConnectionError('<pip._vendor."
            "urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: "
            "[Errno 111] Connection refused'))\n",
            "the package index at `index.example:443` did not answer: Connection refused",
        ),
        (
            "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='index.example', "
            "port=443): Read timed out.\n",
            "the package index at `index.example:443` did not answer: Read timed out",
        ),
    ],
)
def test_pips_network_errors_are_one_sentence_about_the_host(text: str, message: str) -> None:
    problem = pip_tools_failure.failure(ended(text), 1800, False)
    assert isinstance(problem, IndexUnreachable) and problem.message == message


def test_a_proxy_that_refuses_is_said_to_be_one() -> None:
    import requests

    problem = requests.exceptions.ProxyError("x", OSError(111, "Connection refused"))
    assert _reason(problem) == "Connection refused (by way of the proxy)"
