"""DashScope request bodies: which model is read by which page, now or by a check that comes late."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_provider_wan.sandbox.front.answers import Refusal
from airflow_provider_wan.sandbox.front.bodies import Complaints
from airflow_provider_wan.sandbox.front.uploads import UploadStore
from airflow_provider_wan.sandbox.vendors.dashscope import happyhorse, older, wan27, wan30
from airflow_provider_wan.sandbox.vendors.dashscope.body import Body, unknown_model
from airflow_provider_wan.sandbox.world.tasks import Order

IMAGE_PATH_MODELS = re.compile(r"kf2v|animate-(move|mix)|s2v")

# The first prefix that fits decides.
PAGES: tuple[tuple[str, Callable[[Body], Order]], ...] = (
    ("wan3.0-video", wan30.order),
    ("wan2.7-t2v", wan27.text_to_video),
    ("wan2.7-i2v", wan27.image_to_video),
    ("wan2.7-r2v", wan27.reference_to_video),
    ("wan2.7-videoedit", wan27.video_edit),
    ("happyhorse-1.", happyhorse.order),
    ("wanx", older.order),
    *((f"wan2.{number}-", older.order) for number in range(1, 7)),
)


class Bodies:
    """Turns a create body into an ``Order``.

    A misfit is a ``Refusal`` (400) that names the field; with ``late`` the order is returned nevertheless, and says in
    ``rejected`` all that is wrong with it. The model's name and path are checked at once in any case.
    """

    def __init__(
        self, uploads: UploadStore, body: dict[str, Any], *, resolve_oss: bool, strict: bool, late: bool = False
    ) -> None:
        self._uploads = uploads
        self._raw = body
        self._resolve_oss = resolve_oss
        self._strict = strict
        self._late = late

    def order(self, path: str) -> Order:
        """Return the order of a body that came in on ``path`` (``video-generation`` or ``image2video``)."""
        page = self._page(path)
        complaints = Complaints(gather=self._late)
        body = Body(self._uploads, self._raw, resolve_oss=self._resolve_oss, strict=self._strict, complaints=complaints)
        try:
            order = page(body)
        except Refusal as refusal:
            if not self._late or refusal.late is None:
                raise
            complaints.found.append(refusal)
            return body.doomed(complaints.text)
        return body.doomed(complaints.text) if complaints.found else order

    def _page(self, path: str) -> Callable[[Body], Order]:
        model = self._raw.get("model")
        if not model:
            text = "Field required: model. Required parameter(model) missing or invalid."
            raise Refusal(400, "InvalidParameter", text, field="model")
        if not isinstance(model, str):
            raise unknown_model()
        page = next((page for prefix, page in PAGES if model.startswith(prefix)), None)
        if page is None:
            raise unknown_model()
        if (path == "image2video") != bool(IMAGE_PATH_MODELS.search(model)):
            raise Refusal(400, "InvalidParameter", "url error, please check url！", field="model")  # noqa: RUF001 - theirs
        return page
