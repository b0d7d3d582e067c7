"""What the shared poller asks next, and when. Pure: no clock, no I/O; `now` is an argument."""
