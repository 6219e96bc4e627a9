"""Ports: which are free here, and where a URL leads."""

from __future__ import annotations

import socket

import pytest

from platforms.ports import is_free
from settings import port_of


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_is_free_until_somebody_listens_on_it(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(address, port)
    assert is_free(address, port)


def test_an_address_of_another_machine_has_no_free_port() -> None:
    # TEST-NET-1 (RFC 5737) is nobody's.
    assert not is_free("192.0.2.1", 5000)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://a", 80),
        ("https://a", 443),
        ("https://a:8443/x", 8443),
        ("http://[::1]:5000", 5000),
        ("redis://a:6379/0", 6379),
    ],
)
def test_a_url_leads_to_its_port_or_to_that_of_its_scheme(url: str, port: int) -> None:
    assert port_of(url) == port


@pytest.mark.parametrize("url", ["redis://a", "a:b", "", "http://a:99999"])
def test_a_url_that_leads_to_no_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"port|Port"):
        port_of(url)
