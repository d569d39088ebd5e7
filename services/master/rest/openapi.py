"""(pure) The OpenAPI document of what is served.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from services.master.rest.statuses import STATUSES
from shared.membership import OfferedMethod

Served = Mapping[str, Mapping[int, Mapping[str, OfferedMethod]]]
"""Methods of each version of each servable."""

_VALUE = {
    "description": "a number, a bool, text, a rectangular list of one type, or a base64 object",
    "anyOf": [
        {"type": ["number", "boolean", "string", "array"]},
        {"$ref": "#/components/schemas/Base64"},
    ],
}
_SCHEMAS: Mapping[str, Any] = {
    "Base64": {
        "type": "object",
        "required": ["b64"],
        "additionalProperties": False,
        "properties": {
            "b64": {"type": "string", "contentEncoding": "base64"},
            "type": {"type": "string", "default": "bytes"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        },
    },
    "Value": _VALUE,
    "Failure": {
        "type": "object",
        "required": ["error_msg"],
        "properties": {"error_msg": {"type": "string"}},
    },
    "Servable": {
        "type": "object",
        "required": ["servable", "versions"],
        "properties": {"servable": {"type": "string"}, "versions": {"type": "array"}},
    },
}


def describe(served: Served, labels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """The document: a path for each method, of no version, of each one, and of each label."""
    paths: dict[str, Any] = {
        "/healthz": {"get": _get("healthz", "Whether the master lives.")},
        "/readyz": {"get": _get("readyz", "Whether any servable can be called.")},
    }
    for servable, versions in sorted(served.items()):
        name = quote(servable, safe="")
        known = _get(f"{servable}", f"What is served of {servable}.", "Servable")
        paths[f"/model/{name}"] = {"get": known}
        paths[f"/readyz/{name}"] = {
            "get": _get(f"{servable}.readyz", f"Whether {servable} can be called.")
        }
        for version, methods in sorted(versions.items()):
            which = f"version {version}"
            places = {f"/version/{version}": (f".{version}", which)} | {
                f"/label/{label}": (f".{label}", which)
                for label, labelled in labels.get(servable, {}).items()
                if labelled == version
            }
            if version == max(versions):
                places[""] = ("", "the version that the master chooses")
            for method, names in sorted(methods.items()):
                for place, (infix, words) in places.items():
                    paths[f"/model/{name}{place}:{quote(method, safe='')}"] = {
                        "post": {
                            "operationId": f"{servable}{infix}.{method}",
                            "summary": f"Calls {method} of {servable}, {words}.",
                            **_call(names),
                        }
                    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mindserve", "version": "1"},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def _get(name: str, summary: str, schema: str = "") -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": _answer("yes", schema) if schema else {"description": "yes"},
            "404": {"description": "nobody ever offered it"},
            "503": {"description": "not now"},
        },
    }


def _call(names: OfferedMethod) -> dict[str, Any]:
    failures = {
        str(status): _answer("failed", "Failure") for status in sorted(set(STATUSES.values()))
    }
    return {
        "parameters": [
            {"name": "x-request-id", "in": "header", "schema": {"type": "string"}},
            {
                "name": "x-request-timeout",
                "in": "header",
                "description": "seconds",
                "schema": {"type": "number", "exclusiveMinimum": 0},
            },
            {
                "name": "x-request-priority",
                "in": "header",
                "description": "a level, 1 is the highest",
                "schema": {"type": "integer", "minimum": 0},
            },
        ],
        "requestBody": {"required": True, "content": _json(_request(names.inputs))},
        "responses": {
            "200": {
                "description": "outputs, or an error, for each instance",
                "content": _json(_reply(names.outputs)),
            },
            **failures,
        },
    }


def _request(inputs: Sequence[str]) -> dict[str, Any]:
    instance = {
        "type": "object",
        "required": list(inputs),
        "properties": {name: {"$ref": "#/components/schemas/Value"} for name in inputs},
    }
    several = {"type": "array", "minItems": 1, "items": instance}
    return {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"anyOf": [instance, several]}},
    }


def _reply(outputs: Sequence[str]) -> dict[str, Any]:
    names: dict[str, Any] = {name: {} for name in outputs} | {"error": {"type": "string"}}
    return {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {"type": "array", "items": {"type": "object", "properties": names}}
        },
    }


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": _content(schema)}


def _content(schema: str) -> dict[str, Any]:
    return _json({"$ref": f"#/components/schemas/{schema}"})


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
