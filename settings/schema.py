"""The JSON schema of `Pulumi.<stack>.yaml`, for editors: names, types and meanings while somebody writes.

It knows what one key may hold. Rules between keys, and what a text has to look like, are told by `stackctl` alone.
"""

from __future__ import annotations

import json
from typing import Any

from settings.load import FILE_KEYS, PROVIDER_NAMESPACES
from settings.model import PROJECT, Settings

# The draft that yaml-language-server and its relatives read in every version.
DRAFT = "http://json-schema.org/draft-07/schema#"
# What `pulumi config set --secret` writes in the place of a text.
_ENCRYPTED = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}


def document() -> dict[str, Any]:
    """The schema of a whole file, each setting under its name with the project's in front."""
    model = Settings.model_json_schema()
    groups = {f"{PROJECT}:{name}": _plain(node) for name, node in model["properties"].items()}
    others = f"^({'|'.join(PROVIDER_NAMESPACES)}):"
    return {
        "$schema": DRAFT,
        "title": f"A stack of {PROJECT}",
        "type": ["object", "null"],
        "properties": {
            "config": {
                "type": ["object", "null"],
                "properties": groups,
                # Those of the providers are theirs to check.
                "patternProperties": {others: True},
                "additionalProperties": False,
            },
            **{key: True for key in FILE_KEYS if key != "config"},
        },
        "additionalProperties": False,
        "$defs": {name: _plain(node) for name, node in model["$defs"].items()},
    }


def text() -> str:
    """The schema as docs/settings.schema.json holds it."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def _plain(node: Any) -> Any:
    """A part of pydantic's schema for this draft and this kind of file.

    A reference has nothing beside it there, so what is said of it stands around it. Titles say a key's name again, and
    the default of a group is that of its keys.
    """
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "password":
        about = {"description": node["description"]} if "description" in node else {}
        return {**about, "anyOf": [{"type": "string"}, _ENCRYPTED]}
    plain = {key: _plain(value) for key, value in node.items() if not _is_noise(key, value)}
    if "patternProperties" in plain:
        # A map whose keys have a form of their own.
        plain["additionalProperties"] = False
    if "$ref" in plain and len(plain) > 1:
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    return plain


def _is_noise(key: str, value: object) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and isinstance(value, dict))


if __name__ == "__main__":
    print(text(), end="")
