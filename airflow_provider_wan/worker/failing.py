"""From the client's errors to what makes Airflow retry, or not."""

from __future__ import annotations

from typing import NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wan.client.errors import WanError


def fail(error: WanError) -> NoReturn:
    """Raise ``error`` so that Airflow retries what may pass, and nothing else.

    Its message is whole; the way it came, and what it came from, would only bury it in the task's log.

    :raises WanError: ``error`` itself when it is retryable.
    :raises AirflowFailException: for a permanent one; Airflow does not retry these.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    if error.retryable:
        raise error from None
    raise AirflowFailException(f"{type(error).__name__}: {error}") from error
