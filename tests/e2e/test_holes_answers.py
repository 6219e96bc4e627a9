"""What answers tell a plain user beside what they show: nothing of what is hidden, and no SQL.

Like test_holes.py: the kind of each hole, and that honest use is still answered.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.asking import AJAX2, GRAPHQL, V2, V3, Person, new_trace

# Asks a search for one page of so many, behind a token.
Search = Callable[[Person, int, str], Any]


def _experiments(word: str, prefix: str = V2, method: str = "POST") -> Search:
    def search(who: Person, most: int, token: str) -> Any:
        asked = {"filter": f"tags.k LIKE '{word}%'", "max_results": most, "order_by": ["experiment_id ASC"]}
        if token:
            asked["page_token"] = token
        if method == "GET":
            return who.client.mlflow(f"{prefix}/experiments/search", who.token, params=asked)
        return who.ask("POST", f"{prefix}/experiments/search", asked)

    return search


def _models(word: str) -> Search:
    def search(who: Person, most: int, token: str) -> Any:
        asked = {"filter": f"name LIKE '{word}%'", "max_results": str(most)} | ({"page_token": token} if token else {})
        return who.client.mlflow(f"{V2}/registered-models/search", who.token, params=asked)

    return search


def _posted(path: str, **asked: Any) -> Search:
    def search(who: Person, most: int, token: str) -> Any:
        return who.ask("POST", path, {**asked, "max_results": most} | ({"page_token": token} if token else {}))

    return search


def _tagged(who: Person, word: str, count: int) -> list[str]:
    return [who.experiment(tags=[{"key": "k", "value": word}]) for _ in range(count)]


def _token(search: Search, who: Person, most: int = 1) -> str:
    answer = search(who, most, "")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["next_page_token"])


def test_a_token_says_nothing_of_what_is_hidden(alice: Person, bob: Person) -> None:
    """The same page of bob's, with no hidden hit, one, and so many that the count gets another digit."""
    seen: dict[int, set[int]] = {}
    for hidden in (0, 1, 12):
        word = f"w{secrets.token_hex(6)}"
        _tagged(alice, word, hidden)
        _tagged(bob, word, 2)
        for name in (f"{word}-{number}" for number in range(hidden)):
            alice.must("POST", f"{V2}/registered-models/create", {"name": name})
        for name in (f"{word}-x1", f"{word}-x2"):
            bob.must("POST", f"{V2}/registered-models/create", {"name": name})
        searches = (_experiments(word), _experiments(word, AJAX2), _experiments(word, V2, "GET"), _models(word))
        for number, search in enumerate(searches):
            token = _token(search, bob)
            assert b"offset" not in base64.urlsafe_b64decode(token)
            seen.setdefault(number, set()).add(len(token))
    assert all(len(lengths) == 1 for lengths in seen.values()), seen


def _searches(who: Person) -> dict[str, tuple[Search, str]]:
    """Searches that find three things of somebody's, each with the name of its list."""
    word, dataset = f"s{secrets.token_hex(6)}", f"d{secrets.token_hex(6)}"
    (experiment, *_) = _tagged(who, word, 3)
    for number in range(3):
        run = who.run(experiment, f"{word}{number}")
        who.must("POST", f"{V2}/registered-models/create", {"name": f"{word}{number}"})
        body = {"experiment_id": experiment, "name": f"m{number}", "source_run_id": run}
        who.must("POST", f"{V2}/logged-models", body)
        assert who.trace(experiment, new_trace()).status_code == 200
        who.must("POST", f"{V3}/datasets/create", {"name": f"{dataset}{number}", "experiment_ids": [experiment]})
    ids = {"experiment_ids": [experiment]}
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    return {
        "experiments": (_experiments(word), "experiments"),
        "experiments, page": (_experiments(word, AJAX2), "experiments"),
        "experiments, GET": (_experiments(word, V2, "GET"), "experiments"),
        "models": (_models(word), "registered_models"),
        "runs": (_posted(f"{V2}/runs/search", **ids), "runs"),
        "logged models": (_posted(f"{V2}/logged-models/search", **ids), "models"),
        "traces": (_posted(f"{V3}/traces/search", locations=[place]), "traces"),
        "datasets": (_posted(f"{V3}/datasets/search", **ids), "datasets"),
        "datasets anywhere": (_posted(f"{V3}/datasets/search", filter_string=f"name LIKE '{dataset}%'"), "datasets"),
    }


def test_pages_follow_each_other_for_the_one_who_asked_and_nobody_else(alice: Person, bob: Person) -> None:
    searches = _searches(bob)
    tokens: dict[str, str] = {}
    for name, (search, items) in searches.items():
        token, found = "", []
        for _ in range(3):
            answer = search(bob, 1, token)
            assert answer.status_code == 200, (name, answer.text)
            found += [json.dumps(each, sort_keys=True) for each in answer.json()[items]]
            tokens.setdefault(name, token := answer.json().get("next_page_token", ""))
        assert len(set(found)) == 3, name
        assert not token or not search(bob, 1, token).json().get(items), name
    plain = base64.b64encode(json.dumps({"offset": 1}).encode()).decode()
    for name, (search, _) in searches.items():
        token = tokens[name]
        other = tokens["runs" if name != "runs" else "traces"]
        for forged in (plain, token[:-8], token[:20] + token[24:], "x", other):
            answer = search(bob, 1, forged)
            assert answer.status_code == 400, (name, forged, answer.text)
            assert "page_token" in answer.text
    assert searches["experiments"][0](alice, 1, tokens["experiments"]).status_code == 400


def test_tokens_of_graphql_are_no_others(bob: Person) -> None:
    experiment = bob.experiment()
    for number in range(2):
        bob.run(experiment, f"r{number}")
    asked = (
        '{{mlflowSearchRuns(input:{{experimentIds:["{0}"],maxResults:1{1}}}){{nextPageToken runs{{info{{runName}}}}}}}}'
    )
    first = bob.graphql(asked.format(experiment, ""))["data"]["mlflowSearchRuns"]
    token = first["nextPageToken"]
    assert b"offset" not in base64.urlsafe_b64decode(token)
    second = bob.graphql(asked.format(experiment, f',pageToken:"{token}"'))["data"]["mlflowSearchRuns"]
    assert {run["info"]["runName"] for run in first["runs"] + second["runs"]} == {"r0", "r1"}
    plain = base64.b64encode(b'{"offset": 1}').decode()
    forged = bob.graphql(asked.format(experiment, f',pageToken:"{plain}"'))
    assert forged["data"]["mlflowSearchRuns"] is None
    assert "page_token" in forged["errors"][0]


def _seen(search: Search, who: Person, items: str) -> tuple[int, bool]:
    """How many things the first page shows, and whether there seems to be another page."""
    answer = search(who, 1, "")
    assert answer.status_code == 200, answer.text
    return len(answer.json().get(items) or []), bool(answer.json().get("next_page_token"))


def _hidden_beside(alice: Person, bob: Person, before: int, behind: int) -> dict[str, tuple[int, bool]]:
    """What bob sees of each list in which one thing is his, with so many of alice's before and behind it."""
    word = f"w{secrets.token_hex(6)}"
    shared = bob.experiment()
    hidden = alice.experiment()
    for who, names in (
        (alice, [f"a{n}" for n in range(before)]),
        (bob, ["b"]),
        (alice, [f"c{n}" for n in range(behind)]),
    ):
        for name in names:
            _tagged(who, word, 1)
            who.must("POST", f"{V2}/registered-models/create", {"name": f"{word}{name}"})
            linked = [shared] if who is bob else [shared, hidden]
            who.must("POST", f"{V3}/datasets/create", {"name": f"{word}{name}", "experiment_ids": linked})
            place = shared if who is bob else hidden
            who.must("POST", f"{V2}/logged-models", {"experiment_id": place, "name": f"{word}{name}"})
            assert alice.ask("POST", f"{V3}/mcp-servers", {"name": f"{word}/server-{name}"}).status_code in {200, 201}
    grant = f"{V2}/permissions/users/bob/mcp-servers/{word}/server-b"
    assert alice.ask("POST", grant, {"permission": "READ"}).status_code in {200, 201}

    def servers(who: Person, most: int, token: str) -> Any:
        asked = {"filter_string": f"name LIKE '{word}%'", "max_results": str(most), "order_by": "name ASC"}
        return who.client.mlflow(
            f"{V3}/mcp-servers", who.token, params=asked | ({"page_token": token} if token else {})
        )

    anywhere = {"filter_string": f"name LIKE '{word}%'", "order_by": ["name ASC"]}
    named = anywhere | {"experiment_ids": [shared]}
    searches: dict[str, tuple[Search, str]] = {
        "experiments": (_experiments(word), "experiments"),
        "models": (_models(word), "registered_models"),
        "datasets": (_posted(f"{V3}/datasets/search", **named), "datasets"),
        "datasets anywhere": (_posted(f"{V3}/datasets/search", **anywhere), "datasets"),
        "logged models": (_posted(f"{V2}/logged-models/search", experiment_ids=[shared, hidden]), "models"),
        "servers": (servers, "mcp_servers"),
    }
    return {name: _seen(search, bob, items) for name, (search, items) in searches.items()}


def test_a_page_looks_the_same_whatever_is_hidden(alice: Person, bob: Person) -> None:
    alone = _hidden_beside(alice, bob, 0, 0)
    assert {count for count, _ in alone.values()} == {1}
    for before, behind in ((1, 0), (0, 1), (2, 2)):
        assert _hidden_beside(alice, bob, before, behind) == alone


SAID = ("SQL", "sqlalche", "psycopg", "sqlite3", "INSERT", "UPDATE ", "SELECT ", "DETAIL", "Traceback", "parameters:")


NO_QUERIES: tuple[Any, ...] = ({}, [], "x", 5, {"query": 5}, {"query": "{"}, {"query": None}, {"query": []})


def _bad_requests(bob: Person) -> list[tuple[str, str, Any]]:
    experiment, trace, name = bob.experiment(), new_trace(), f"n{secrets.token_hex(6)}"
    assert bob.trace(experiment, trace).status_code == 200
    bob.must("POST", f"{V2}/experiments/create", {"name": name})
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    return [
        ("POST", f"{V2}/experiments/create", {"name": name}),
        ("POST", f"{V2}/experiments/create", {"name": "x" * 100_000}),
        ("POST", f"{V2}/experiments/create", {"name": f"{name}\0"}),
        ("POST", f"{V2}/registered-models/create", {"name": "y" * 100_000}),
        ("POST", f"{V2}/registered-models/create", {"name": "z\0z"}),
        ("GET", f"{V2}/experiments/get?experiment_id=%00", None),
        ("GET", f"{V2}/runs/get?run_id=%00", None),
        ("GET", f"{V2}/experiments/get?experiment_id=99999999999999999999999", None),
        ("GET", f"{V3}/traces/%00", None),
        ("GET", "/get-artifact?run_uuid=%00&path=x", None),
        ("PATCH", f"{V3}/traces/{trace}/tags", {"key": "k" * 100_000, "value": "v"}),
        ("POST", f"{V2}/users/current/tokens", {"name": deep}),
        ("POST", f"{V2}/users/current/tokens", {"name": "x\0", "expiration": "never"}),
        ("GET", GRAPHQL, None),
        ("GET", f"{GRAPHQL}?query=%7Btest%7Boutput%7D%7D", None),
        *(("POST", GRAPHQL, body) for body in NO_QUERIES),
        ("POST", GRAPHQL, {"query": '{test(inputString:"x"){output}}', "variables": 5}),
        ("POST", GRAPHQL, {"query": '{test(inputString:"x"){output}}', "operationName": {}}),
    ]


def test_a_bad_request_is_told_so_without_sql(bob: Person) -> None:
    for method, path, body in _bad_requests(bob):
        answer = bob.ask(method, path, body)
        told = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, told
        assert answer.status_code == 400 or not path.startswith(GRAPHQL), told
        assert not [each for each in SAID if each in answer.text], told
        assert len(answer.text) < 200_000, told


def test_what_is_switched_off_is_no_error_of_the_server(bob: Person) -> None:
    with_header = bob.client.mlflow(f"{V2}/experiments/search", bob.token, params={"max_results": 1})
    assert with_header.status_code == 200
    answer = bob.headed({"X-MLFLOW-WORKSPACE": "default"}, f"{V2}/experiments/search?max_results=1")
    assert answer.status_code == 400, answer.text


def test_the_registry_of_mcp_servers_is_for_those_it_is_granted_to(alice: Person, bob: Person) -> None:
    name = f"ns{secrets.token_hex(4)}/server"
    servers = f"{V3}/mcp-servers"
    made = alice.ask("POST", servers, {"name": name})
    assert made.status_code in {200, 201}, made.text
    assert alice.ask("GET", f"{servers}/{name}").status_code == 200
    for path in (f"{servers}/{name}", f"{servers}/{name}/versions", f"{servers}/{name}/endpoints"):
        assert bob.ask("GET", path).status_code == 403, path
    assert name not in bob.ask("GET", servers).text
    granted = alice.ask("POST", f"{V2}/permissions/users/bob/mcp-servers/{name}", {"permission": "READ"})
    assert granted.status_code in {200, 201}, granted.text
    assert bob.ask("GET", f"{servers}/{name}").status_code == 200
    assert name in bob.ask("GET", servers).text


def test_a_person_signs_with_their_own_name(alice: Person, bob: Person) -> None:
    experiment, trace = bob.experiment(), new_trace()
    feedback = {"assessment_name": "good", "source": {"source_type": "HUMAN", "source_id": "alice"}}
    feedback |= {"feedback": {"value": True}, "create_time": "2026-11-28T00:00:00Z"}
    feedback |= {"last_update_time": "2026-11-28T00:00:00Z"}
    assert bob.trace(experiment, trace, assessments=[feedback]).status_code == 200
    judged = {**feedback, "source": {"source_type": "LLM_JUDGE", "source_id": "a-judge"}}
    for body in (feedback, judged):
        bob.must("POST", f"{V3}/traces/{trace}/assessments", {"assessment": body})
    info = bob.must("GET", f"{V3}/traces/{trace}")["trace"]["trace_info"]
    assert sorted(each["source"]["source_id"] for each in info["assessments"]) == ["a-judge", "bob", "bob"]
    imported = alice.must("POST", f"{V3}/traces/{trace}/assessments", {"assessment": _of(feedback, "carol")})
    assert imported["assessment"]["source"]["source_id"] == "carol"
    secret = {"secret_name": f"s{time.time_ns()}", "secret_value": {"api_key": "x"}, "created_by": "alice"}
    assert bob.must("POST", f"{V3}/gateway/secrets/create", secret)["secret"]["created_by"] == "bob"


def _of(feedback: dict[str, Any], who: str) -> dict[str, Any]:
    return {**feedback, "source": {"source_type": "HUMAN", "source_id": who}}
