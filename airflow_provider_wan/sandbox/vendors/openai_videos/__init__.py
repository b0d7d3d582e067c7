"""Servers with an OpenAI-style ``/v1/videos``: self-hosted open weights, proxies."""
