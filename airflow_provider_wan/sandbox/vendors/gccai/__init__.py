"""GCCAI, alias APIMart: ``/v1/videos/generations`` and ``/v1/tasks``."""
