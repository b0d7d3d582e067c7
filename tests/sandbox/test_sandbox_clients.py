"""Clients that this project did not write work against the sandbox as against the vendors: OpenAI's SDK and LiteLLM."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_wan.sandbox import Sandbox

from .conftest import KEY, probe

openai = pytest.importorskip("openai", reason="the openai package is not installed")

# One process imports the packages, which takes long.
pytestmark = pytest.mark.xdist_group("clients")

IMAGE = "https://media.example.com/a.png"
# Where each vendor that speaks the dialect answers, and what its models are called.
SERVERS = {"powertokens": ("/v1", "wan2.7-t2v", "wan2.7-i2v"), "openai": ("/openai/v1", "Wan-2.2-T2V", "Wan-2.2-I2V")}


@pytest.fixture(params=SERVERS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(sandbox: Sandbox, vendor: str) -> Iterator[Any]:
    base = sandbox.url + SERVERS[vendor][0]
    with openai.OpenAI(api_key=KEY, base_url=base, max_retries=0, timeout=20) as client:
        yield client


def made(client: Any, vendor: str, prompt: str = "A paper boat", **given: Any) -> Any:
    return client.videos.create(model=SERVERS[vendor][1], prompt=prompt, seconds="4", size="1280x720", **given)


def finished(client: Any, sandbox: Sandbox, video_id: str) -> Any:
    sandbox.wait_for(lambda ledger: any(entry["task_id"] == video_id for entry in ledger["billed"]))
    return client.videos.retrieve(video_id)


def test_openai_sdk_creates_polls_and_downloads(client: Any, sandbox: Sandbox, vendor: str) -> None:
    video = made(client, vendor)
    assert (video.object, video.status, video.progress) == ("video", "queued", 0)
    video = finished(client, sandbox, video.id)
    assert (video.status, video.seconds, video.error) == ("completed", "4", None)
    assert probe(client.videos.download_content(video.id).read())[:3] == (1280, 720, 4.0)


def test_openai_sdk_polls_by_itself(client: Any, vendor: str) -> None:
    video = client.videos.create_and_poll(model=SERVERS[vendor][1], prompt="x", poll_interval_ms=20)
    assert video.status == "completed"


def test_openai_sdk_sends_a_picture(client: Any, sandbox: Sandbox, vendor: str, png: bytes) -> None:
    picture = ("a.png", io.BytesIO(png), "image/png")
    client.videos.create(model=SERVERS[vendor][2], prompt="x", input_reference=picture)
    (task,) = sandbox.tasks()
    assert (task["mode"], task["vendor"]) == ("image_to_video", vendor)


def test_openai_sdk_lists_and_deletes(client: Any, sandbox: Sandbox, vendor: str) -> None:
    ids = [made(client, vendor, prompt=str(number)).id for number in range(3)]
    for video_id in ids:
        finished(client, sandbox, video_id)
    assert [video.id for video in client.videos.list(limit=2)] == ids[::-1], "it turns the pages by itself"
    assert client.videos.delete(ids[0]).deleted
    with pytest.raises(openai.APIStatusError):
        client.videos.retrieve(ids[0])


def test_openai_sdk_tells_a_failure_and_a_refusal(client: Any, sandbox: Sandbox, vendor: str) -> None:
    video = made(client, vendor, prompt="x [sandbox fail=DataInspectionFailed]")
    sandbox.wait_for(lambda ledger: ledger["created"][0]["status"] == "FAILED")
    video = client.videos.retrieve(video.id)
    assert (video.status, video.error.code) == ("failed", "DataInspectionFailed")
    with pytest.raises(openai.RateLimitError):
        made(client, vendor, prompt="x [sandbox reject=429]")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-invalid").videos.list()


def test_openai_sdk_remixes(sandbox: Sandbox) -> None:
    with openai.OpenAI(api_key=KEY, base_url=f"{sandbox.url}/openai/v1", max_retries=0) as client:
        source = finished(client, sandbox, made(client, "openai").id)
        remix = client.videos.remix(source.id, prompt="the same at night")
        assert remix.remixed_from_video_id == source.id


@pytest.fixture(scope="module")
def litellm() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # Without this it asks the network for prices when it is imported.
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        patch.setenv("LITELLM_TELEMETRY", "False")
        yield pytest.importorskip("litellm", reason="the litellm package is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("vendor", "provider"), [("powertokens", "openai"), ("openai", "openai"), ("openai", "hosted_vllm")]
)
def test_litellm_creates_polls_and_downloads(sandbox: Sandbox, litellm: Any, vendor: str, provider: str) -> None:
    path, model, _ = SERVERS[vendor]
    account = {"api_base": sandbox.url + path, "api_key": KEY, "custom_llm_provider": provider}
    video = litellm.video_generation(
        model=f"{provider}/{model}", prompt="x", seconds="4", size="1280x720",
        api_base=account["api_base"], api_key=KEY,
    )  # fmt: skip
    assert video.status == "queued"
    sandbox.wait_for(lambda ledger: len(ledger["billed"]) == 1)
    assert litellm.video_status(video_id=video.id, **account).status == "completed"
    content = litellm.video_content(video_id=video.id, **account)
    assert probe(content)[:3] == (1280, 720, 4.0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "given",
    [{"model": "wan2.7-t2v"}, {"model": "wan3.0-video"}, {"model": "wan2.7-i2v", "input_reference": IMAGE}],
)
def test_litellm_speaks_to_dashscope(sandbox: Sandbox, litellm: Any, given: dict[str, Any]) -> None:
    account = {"api_base": sandbox.url, "api_key": KEY, "custom_llm_provider": "dashscope"}
    video = litellm.video_generation(prompt="x", seconds="3", size="1280x720", **account, **given)
    sandbox.wait_for(lambda ledger: len(ledger["billed"]) == 1)
    assert litellm.video_status(video_id=video.id, **account).status == "completed"
    assert probe(litellm.video_content(video_id=video.id, **account))[:3] == (1280, 720, 3.0)
