"""What Airflow reads about this provider; data only, so that reading it costs nothing."""

from __future__ import annotations

from typing import Any

FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "schema", "port", "extra"],
    "relabeling": {"password": "API key", "host": "Base URL (optional)"},
    "placeholders": {
        "password": "the vendor's API key",
        "host": "empty for the vendor's own host; https://… for a proxy",
    },
}


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _number(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["number", "null"]}}


CONNECTION_FIELDS: dict[str, Any] = {
    "vendor": {
        "label": "Vendor",
        "description": "Whose API the key is for: gccai is GCCAI/APIMart, freepik is Freepik/Magnific, openai is a "
        "server of your own.",
        "schema": {
            "type": "string",
            "default": "dashscope",
            "enum": ["dashscope", "gccai", "powertokens", "freepik", "openai"],
        },
    },
    "region": {
        "label": "Region (DashScope)",
        "description": "The region of the key. Regions without a shared host need a workspace id.",
        "schema": {
            "type": ["string", "null"],
            "default": "ap-southeast-1",
            "enum": [
                "ap-southeast-1",
                "cn-beijing",
                "us-east-1",
                "eu-central-1",
                "ap-northeast-1",
                "cn-hongkong",
            ],
        },
    },
    "workspace_id": _text("Workspace id (DashScope)", "Selects the workspace's own host, for example llm-xxxxxxxx."),
    "queries_per_second": _number(
        "Queries per second", "Budget of status queries for the whole account; empty: the vendor's."
    ),
    "submits_per_second": _number(
        "Submissions per second", "Budget of submissions for the whole account; empty: the vendor's."
    ),
    "timeout": _number("Timeout", "Seconds for one HTTP exchange; empty: 30."),
    "running_limit": _number("Tasks at once", "How many tasks the vendor runs for the account at once; empty: 5."),
    "queue_limit": _number("Queued tasks", "How many of its tasks may wait at the vendor; empty: 500."),
    "auth_header": _text("Key header (Freepik)", "Only if the host wants another header name."),
    "body": {
        "label": "Body (openai)",
        "description": "How your server takes requests: multipart (vLLM-Omni), or json (SGLang without an image).",
        "schema": {"type": ["string", "null"], "default": "multipart", "enum": ["multipart", "json"]},
    },
    "allow_http": {
        "label": "Allow http (openai)",
        "description": "Whether the base URL may be http:// on a private host; the key, if any, travels in clear.",
        "schema": {"type": ["boolean", "null"]},
    },
    "prices": _text("Prices", "Your own prices: URI of a JSON file, or a JSON list of rows; before the shipped ones."),
}
"""The fields of the connection's extra."""


def _option(kind: str, default: str | None, description: str, example: str | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "type": kind,
        "default": default,
        "example": example,
        "version_added": "0.2.0",
    }


OPTIONS: dict[str, Any] = {
    "ledger_path": _option(
        "string",
        None,
        "Object-storage URI under which submissions are recorded, instead of in Airflow's task state: no clear reaches "
        "it, and retries adopt on every Airflow.",
        "s3://aws_default@my-bucket/wan-ledger",
    ),
    "gallery": _option("boolean", "True", "Whether Airflow's UI has the tab *Videos* and the page behind it."),
    "gallery_roots": _option(
        "string",
        "",
        "Where the gallery may read stored videos: storage addresses, separated by commas. Empty: any bucket of an "
        "object store, and no local file.",
        "s3://videos/published, file:///data/videos",
    ),
    "gallery_redirect": _option(
        "boolean",
        "False",
        "Lead browsers to a signed address of the object store instead of streaming through the API server.",
    ),
}
"""The options of the section ``[wan]`` of Airflow's configuration."""


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the shape of Airflow's provider schema."""
    return {
        "package-name": "airflow-provider-wan",
        "name": "Wan video generation",
        "description": "Wan video generation on DashScope, GCCAI/APIMart, PowerTokens and Freepik/Magnific.",
        "connection-types": [
            {
                "connection-type": "wan",
                "hook-name": "Wan video generation",
                "hook-class-name": "airflow_provider_wan.hooks.wan.WanHook",
                "ui-field-behaviour": FIELD_BEHAVIOUR,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "config": {"wan": {"description": "Wan video generation.", "options": OPTIONS}},
        "hooks": [{"integration-name": "Wan video generation", "python-modules": ["airflow_provider_wan.hooks.wan"]}],
        "operators": [
            {
                "integration-name": "Wan video generation",
                "python-modules": ["airflow_provider_wan.operators.wan", "airflow_provider_wan.operators.batch"],
            }
        ],
        "sensors": [
            {"integration-name": "Wan video generation", "python-modules": ["airflow_provider_wan.sensors.wan"]}
        ],
        "triggers": [
            {"integration-name": "Wan video generation", "python-modules": ["airflow_provider_wan.triggers.wan"]}
        ],
        "transfers": [
            {
                "source-integration-name": "Wan video generation",
                "target-integration-name": "Object storage",
                "python-module": "airflow_provider_wan.transfers.wan_to_object_storage",
            }
        ],
        "task-decorators": [
            {
                "class-name": "airflow_provider_wan.decorators.wan_video.wan_video_task",
                "name": "wan_video",
            }
        ],
        "cli": ["airflow_provider_wan.cli.definition.get_wan_cli_commands"],
        "extra-links": [
            "airflow_provider_wan.links.wan.WanVideoLink",
            "airflow_provider_wan.links.wan.WanVideosLink",
        ],
        "integrations": [
            {
                "integration-name": "Wan video generation",
                "external-doc-url": "https://help.aliyun.com/zh/model-studio/text-to-video-api-reference",
                "tags": ["service"],
            }
        ],
    }
