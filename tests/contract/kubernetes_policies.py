"""NetworkPolicies, read as the API defines them."""

from __future__ import annotations

from platforms.kubernetes.plan import Manifest


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def peer(one: Manifest, labels: dict[str, str], namespace: str, own: str) -> bool:
    if "ipBlock" in one:
        return False
    if "namespaceSelector" in one:
        if not selects(one["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}):
            return False
    elif namespace != own:
        return False
    return selects(one.get("podSelector", {}), labels)


def allows(
    policies: list[Manifest],
    way: str,
    mine: dict[str, str],
    theirs: dict[str, str],
    namespace: str,
    own: str,
    port: int,
) -> bool:
    """Whether the policies that select a pod let it have one connection (networking.k8s.io/v1, NetworkPolicySpec)."""
    specs = [policy["spec"] for policy in policies]
    chosen = [spec for spec in specs if selects(spec["podSelector"], mine) and way in spec["policyTypes"]]
    if not chosen:
        return True
    side, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    return any(
        (peers not in rule or any(peer(one, theirs, namespace, own) for one in rule[peers]))
        and ("ports" not in rule or any(p["port"] == port and p["protocol"] == "TCP" for p in rule["ports"]))
        for spec in chosen
        for rule in spec.get(side, [])
    )


def admits(policy: Manifest, principal: str) -> bool:
    """Whether a policy that allows lets an identity send any request (security.istio.io/v1, AuthorizationPolicy)."""
    sources = [[one["source"] for one in rule["from"]] if "from" in rule else [{}] for rule in policy["spec"]["rules"]]
    return any(
        ("principals" not in source or principal in source["principals"])
        and principal not in source.get("notPrincipals", ())
        and "namespaces" not in source
        for rule in sources
        for source in rule
    )
