"""What 0.1.0 wrote, and tests that go on from it; only what must stay stable is used to reach the code."""
