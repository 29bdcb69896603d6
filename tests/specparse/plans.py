"""A Plan as JSON, to be written down and compared: another rpm has to give the same text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from specparse.plan import Plan


def as_json(plan: Plan) -> str:
    """Return the whole ``plan`` in one line; of configuration files the SHA-256 of their content."""
    configs = {name: hashlib.sha256(data).hexdigest() for name, data in plan.configs.items()}
    said = asdict(plan) | {"configs": configs}
    del said["tools"], said["edits"]  # which differ from system to system
    return json.dumps(_text(said), sort_keys=True)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {_text(key): _text(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_text(each) for each in value]
    return value
