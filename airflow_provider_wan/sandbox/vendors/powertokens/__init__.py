"""PowerTokens: ``/v1/videos``, a new-api gateway."""
