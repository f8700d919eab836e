"""The HTTP session for the user's indexes: certificates, proxy, credentials, and another try."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from envfix.model.target import PipConfig
from envfix.system.answers import bound

# Seconds; each further try waits twice as long.
BACKOFF = 0.4
_TRIES = 4
_TRY_AGAIN = (429, 500, 502, 503, 504)
_CONNECTIONS = 16


class _Patient(HTTPAdapter):
    """Asks again where a server is in trouble, without reading the body that says so: urllib3 reads all of it
    before its own next try, and it may have no end."""

    def __init__(self) -> None:
        retry = Retry(total=_TRIES - 1, status=0, backoff_factor=BACKOFF)
        super().__init__(max_retries=retry, pool_maxsize=_CONNECTIONS, pool_connections=_CONNECTIONS)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        for number in range(1, _TRIES):
            answer = super().send(*args, **kwargs)
            if answer.status_code not in _TRY_AGAIN:
                return answer
            answer.raw.close()
            time.sleep(BACKOFF * 2**number)
        return super().send(*args, **kwargs)


class _Trusting(_Patient):
    """For `trusted-host`: a certificate is not asked for there."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(*args, **{**kwargs, "verify": False})


class _HostAuth(requests.auth.AuthBase):
    """User and password for the hosts whose index URL named them, `.netrc` for the others.

    What was given for https is not sent over http, whatever a page links to.
    """

    def __init__(self, users: Mapping[str, tuple[str, str]]) -> None:
        self._users = users

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url or ""
        named = self._users.get(_origin(url)) or self._users.get(_origin(url, "http"))
        user = named or requests.utils.get_netrc_auth(url)
        return requests.auth.HTTPBasicAuth(*user)(request) if user else request


def new_session(config: PipConfig, urls: tuple[str, ...]) -> requests.Session:
    """The session for indexes at `urls`, whose user information it keeps to itself."""
    session = requests.Session()
    session.headers["User-Agent"] = "envfix"
    session.verify = config.cert or True
    session.cert = config.client_cert
    if config.proxy:
        session.proxies = {"http": config.proxy, "https": config.proxy}
    session.auth = _HostAuth({_origin(url): user for url in urls if (user := _user(url))})
    session.hooks["response"].append(bound)
    adapter = _Patient()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    for host in config.trusted_hosts:
        trusting = _Trusting()
        session.mount(f"https://{host}/", trusting)
        if ":" not in host:
            session.mount(f"https://{host}:", trusting)
    return session


def _user(url: str) -> tuple[str, str] | None:
    parts = urlsplit(url)
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def _origin(url: str, scheme: str = "") -> str:
    return f"{scheme or urlsplit(url).scheme.lower()}://{host_of(url)}"


def host_of(url: str) -> str:
    """Host and port, without user information."""
    return urlsplit(url).netloc.rpartition("@")[2]
