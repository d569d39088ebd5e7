"""(pure) The OpenAPI document of what is served.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from services.master.rest.statuses import STATUSES

Served = Mapping[str, Mapping[int, frozenset[str]]]
"""Methods of each version of each servable."""

_VALUE = {
    "description": "a number, a bool, text, a rectangular list of one type, or a base64 object",
    "anyOf": [
        {"type": ["number", "boolean", "string", "array"]},
        {"$ref": "#/components/schemas/Base64"},
    ],
}
_INSTANCE = {"type": "object", "minProperties": 1, "additionalProperties": _VALUE}
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
    "Instance": _INSTANCE,
    "Request": {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {
                "anyOf": [
                    {"$ref": "#/components/schemas/Instance"},
                    {
                        "type": "array",
                        "minItems": 1,
                        "items": {"$ref": "#/components/schemas/Instance"},
                    },
                ]
            }
        },
    },
    "Reply": {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"type": "array", "items": {"type": "object"}}},
    },
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
            for method in sorted(methods):
                suffix = f":{quote(method, safe='')}"
                paths[f"/model/{name}/version/{version}{suffix}"] = {
                    "post": _call(f"{servable}.{version}.{method}", servable, method, version)
                }
                for label, labelled in labels.get(servable, {}).items():
                    if labelled == version:
                        paths[f"/model/{name}/label/{label}{suffix}"] = {
                            "post": _call(f"{servable}.{label}.{method}", servable, method, version)
                        }
                if version == max(versions):
                    paths[f"/model/{name}{suffix}"] = {
                        "post": _call(f"{servable}.{method}", servable, method, 0)
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


def _call(name: str, servable: str, method: str, version: int) -> dict[str, Any]:
    which = f"version {version}" if version else "the version that the master chooses"
    failures = {
        str(status): _answer("failed", "Failure") for status in sorted(set(STATUSES.values()))
    }
    return {
        "operationId": name,
        "summary": f"Calls {method} of {servable}, {which}.",
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
        "requestBody": {"required": True, "content": _content("Request")},
        "responses": {"200": _answer("a value or an error for each instance", "Reply"), **failures},
    }


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": _content(schema)}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
