"""The administrators' settings for all pods: fields that jobs start from, and fields that jobs may not give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headway.core.invalid_fields import invalid_field
from headway.core.pod import Pod
from headway.errors import InvalidInput, SettingInvalid


def read_defaults(path: Path) -> Pod:
    """The fields of `pod` in a YAML file. Raises SettingInvalid that names the file and the field."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Pod.model_validate(content or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingInvalid(f"The pod defaults {path} in HEADWAY_ENGINE_URLS cannot be read: {error}") from error
    except ValidationError as error:
        found = invalid_field(error.errors()[0], Pod)
        raise SettingInvalid(f"The pod defaults {path} in HEADWAY_ENGINE_URLS: {found.sentence}") from error


def with_defaults(asked: Pod, defaults: Pod) -> Pod:
    """The job's pod over the defaults: its own values win, names are added to names, and lists to lists.

    Raises InvalidInput where both do not fit together.
    """
    fields = {name: _over(getattr(asked, name), getattr(defaults, name)) for name in Pod.model_fields}
    try:
        return Pod.model_validate({name: value for name, value in fields.items() if value})
    except ValidationError as error:
        found = invalid_field(error.errors()[0], Pod)
        raise InvalidInput(f"pod, together with what this server gives all pods: {found.sentence}") from error


def check_free(asked: Pod, fixed: tuple[str, ...]) -> None:
    """Raises InvalidInput for a field that jobs may not give."""
    given = next((name for name in fixed if getattr(asked, name)), None)
    if given is not None:
        raise InvalidInput(f"pod.{given}: the administrators of this server decide it for all jobs. Leave it out.")


def _over(own: Any, given: Any) -> Any:
    match own:
        case dict():
            return {**given, **own}
        case tuple():
            return (*given, *(one for one in own if one not in given))
    return own or given
