"""Proxies in front of MLflow take requests of any size and length, in the words of each controller."""

from __future__ import annotations

from typing import Any

import pytest

from platforms.kubernetes.plan import Manifest
from problems import StackError
from settings.kubernetes import Controller
from tests.contract.kubernetes_samples import SCALED, every, of_kind, settings

pytestmark = pytest.mark.usefixtures("components")

NGINX = "nginx.ingress.kubernetes.io"


def ingress(name: str = "mlflow", **words: Any) -> Manifest:
    urls = {"mlflow": {"url": "https://mlflow.example.com"}, "keycloak": {"url": "https://sso.example.com"}}
    config = {**urls, "kubernetes": {"ingress": {"tlsSecret": "t", **words}}}
    return of_kind(every(config), "Ingress")[name]


def told(name: str = "mlflow", **words: Any) -> dict[str, str]:
    return dict(ingress(name, **words)["metadata"].get("annotations", {}))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"className": "nginx"}, {
            f"{NGINX}/proxy-body-size": "0", f"{NGINX}/proxy-request-buffering": "off",
            f"{NGINX}/proxy-buffering": "off", f"{NGINX}/proxy-read-timeout": "3600",
            f"{NGINX}/proxy-send-timeout": "3600",
        }),
        ({"controller": "nginx-inc"}, {"nginx.org/client-max-body-size": "0", "nginx.org/proxy-read-timeout": "3600s"}),
        ({"className": "haproxy"}, {"haproxy.org/timeout-server": "3600s"}),
        ({"className": "alb"}, {
            "alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=3600"
        }),
        ({"className": "contour"}, {"projectcontour.io/response-timeout": "infinity"}),
        ({"className": "openshift-default"}, {"haproxy.router.openshift.io/timeout": "3600s"}),
        ({"className": "traefik"}, {}),
        ({"className": "public", "controller": "ingress-nginx"}, {f"{NGINX}/proxy-body-size": "0"}),
    ],
)  # fmt: skip
def test_a_controller_that_is_known_neither_bounds_nor_spools_artifacts(
    words: dict[str, str], expected: dict[str, str]
) -> None:
    assert expected.items() <= told(**words).items()


def test_no_controller_is_told_words_of_another() -> None:
    for controller in Controller:
        families = {name.partition("/")[0] for name in told(controller=controller.value)}
        assert len(families - {"haproxy.org", "haproxy-ingress.github.io"}) <= 1, controller


def test_an_unknown_class_is_told_what_the_settings_say_and_nothing_else() -> None:
    assert told(className="public") == {}
    assert told(className="public", annotations={"a.example/b": "c"}) == {"a.example/b": "c"}
    assert told() == {}


def test_annotations_of_the_settings_win() -> None:
    mine = {f"{NGINX}/proxy-body-size": "4g"}
    found = told(className="nginx", annotations=mine, clusterIssuer="letsencrypt", tlsSecret=None)
    assert found[f"{NGINX}/proxy-body-size"] == "4g"
    assert found[f"{NGINX}/proxy-request-buffering"] == "off"
    assert found["cert-manager.io/cluster-issuer"] == "letsencrypt"


def test_logins_keep_the_bounds_that_controllers_have() -> None:
    """Strangers post to Keycloak."""
    assert told("keycloak", className="nginx") == {}


def rules(name: str, **gateway: Any) -> list[Manifest]:
    options = {**SCALED["kubernetes"], "gateway": {**SCALED["kubernetes"]["gateway"], **gateway}}
    return list(of_kind(every({**SCALED, "kubernetes": options}), "HTTPRoute")[name]["spec"]["rules"])


def test_a_route_lets_requests_take_their_time() -> None:
    assert [rule["timeouts"] for rule in rules("mlflow")] == [{"request": "0s"}]
    assert [rule["timeouts"] for rule in rules("mlflow", requestTimeout="2h30m")] == [{"request": "2h30m"}]
    assert "timeouts" not in rules("mlflow", requestTimeout=None)[0], "a Gateway API before 1.2 does not know the field"
    assert "timeouts" not in rules("keycloak")[0]


@pytest.mark.parametrize("timeout", ["10", "1d", "-1s", "1.5h", ""])
def test_a_time_that_gateways_do_not_read_is_refused(timeout: str) -> None:
    gateway = {"name": "public", "namespace": "gateways", "requestTimeout": timeout}
    urls = {"mlflow": {"url": "https://a.example.com"}, "keycloak": {"url": "https://b.example.com"}}
    with pytest.raises(StackError) as caught:
        settings({**urls, "kubernetes": {"gateway": gateway}})
    assert [problem.where for problem in caught.value.problems] == ["mlflow-sso:kubernetes.gateway.requestTimeout"]
