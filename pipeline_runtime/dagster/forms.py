"""Forms of run configuration: impossible values are refused before a run exists.

Dagster 1.13 turns a `dagster.Config` class into a schema of plain types and looks at
its ranges and validators when a step starts. Here each field of the schema asks the
class when the configuration is resolved: by the launch from the UI, by a sensor's
request and by ``dagster job execute``, in each case before there is a run.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import dagster as dg
from dagster._config import ConfigType, Noneable, PostProcessingError
from dagster._config.pythonic_config.config import infer_schema_from_config_class
from pydantic import ValidationError
from typing_extensions import override

__all__ = ["form_of", "form_schema"]

_Form = TypeVar("_Form", bound=dg.Config)
_OF_THE_KEY = {"snapshot", "schema_snapshot"}  # cached: they hold the key


class _CheckedType(ConfigType):
    """The type of a form's field, which asks the form whether a value is possible."""

    def __init__(
        self, inner: ConfigType, form: type[dg.Config], name: str, limits: str
    ) -> None:
        self.__dict__.update(
            {k: v for k, v in vars(inner).items() if k not in _OF_THE_KEY}
        )
        self.key = f"{inner.key}.{form.__qualname__}.{name}"
        # the launchpad shows it; "Int" is Dagster's own
        self.given_name = inner.given_name and f"{inner.given_name} ({limits})"
        self._inner = inner
        self._form = form
        self._name = name

    @override
    def type_iterator(self) -> Iterator[ConfigType]:
        """Return the types that this one is made of, then this one."""
        yield from self._inner.type_iterator()
        yield self

    @override
    def post_process(self, value: object) -> object:
        """Return the value if the form takes it; its other fields have defaults.

        Raises
        ------
        PostProcessingError
            With the field and why its value is impossible.
        """
        # Any: not typed in Dagster 1.13
        inner: Any = self._inner
        processed: object = inner.post_process(value)
        try:
            self._form(**{self._name: processed})
        except ValidationError as error:
            raise PostProcessingError(_refusal(error)) from None
        return processed


def _refusal(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}, "
        f"not {found['input']!r}"
        for found in error.errors()
    )


def form_schema(form: type[dg.Config]) -> dict[str, dg.Field]:
    """Return the configuration schema of an asset or op that a form fills.

    Parameters
    ----------
    form
        Every field has a default.
    """
    # Any: Dagster does not type the fields of a shape
    inferred: Any = infer_schema_from_config_class(form).config_type
    return {
        name: _checked(field, form, name) for name, field in inferred.fields.items()
    }


def _checked(field: dg.Field, form: type[dg.Config], name: str) -> dg.Field:
    default = form.model_fields[name].get_default(call_default_factory=True)
    shown = json.dumps(default) if default not in ("", []) else "empty"
    limits = _limits(form, name)
    said = (field.description, limits and f"Allowed: {limits}.", f"Default: {shown}.")
    config_type = _literal(field.config_type)
    if limits or config_type.given_name is None:  # else its type says all
        config_type = _CheckedType(config_type, form, name, limits)
    return dg.Field(
        config_type,
        is_required=False,
        description=" ".join(filter(None, said)),
        default_value=default,
    )


def _literal(config_type: ConfigType) -> ConfigType:
    """Return the type of a value as it is typed, without ``{env: NAME}``."""
    if isinstance(config_type, Noneable):
        return _literal(config_type.inner_type)
    if isinstance(config_type, dg.ScalarUnion):
        literal: ConfigType = config_type.scalar_type
        return literal
    return config_type


def _limits(form: type[dg.Config], name: str) -> str:
    """Return the range of a field in words; empty if every value is possible."""
    limits = {
        key: getattr(limit, key)
        for limit in form.model_fields[name].metadata
        for key in ("gt", "ge", "le")
        if hasattr(limit, key)
    }
    low = f"more than {limits['gt']}" if "gt" in limits else limits.get("ge")
    match low, limits.get("le"):
        case None, None:
            return ""
        case _, None:
            return f"{low} or more"
        case str(), high:
            return f"{low}, at most {high}"
        case _, high:
            return f"{low} to {high}"


def form_of(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, form: type[_Form]
) -> _Form:
    """Return the form that a run was launched with."""
    execution = (
        context.op_execution_context
        if isinstance(context, dg.AssetExecutionContext)
        else context
    )
    return form(**execution.op_config)
