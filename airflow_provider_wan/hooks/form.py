"""The connection form of Airflow before 3.2; later ones read provider info."""

from __future__ import annotations

from typing import Any

from airflow_provider_wan.get_provider_info import CONNECTION_FIELDS


def form_widgets() -> dict[str, Any]:
    """Return the extra fields of the form, as provider info declares them."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import StringField
    from wtforms.validators import Optional, any_of

    def field(declared: dict[str, Any]) -> Any:
        choices = declared["schema"].get("enum")
        # Airflow shows text, number, password and tick-box fields only; any_of makes a text field a choice.
        return StringField(
            lazy_gettext(declared["label"]),
            validators=[any_of(choices) if choices else Optional()],
            description=declared["description"],
            default=declared["schema"].get("default"),
            widget=BS3TextFieldWidget(),
        )

    return {name: field(declared) for name, declared in CONNECTION_FIELDS.items()}
