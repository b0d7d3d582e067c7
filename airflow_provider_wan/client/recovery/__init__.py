"""What a task list proves of a submission whose answer was lost. Pure: no clock, no I/O."""
