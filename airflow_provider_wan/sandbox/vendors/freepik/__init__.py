"""Freepik, alias Magnific: ``/v1/ai/…``."""
