"""The provider beside what people use today, against the sandbox with the vendors' real limits."""
