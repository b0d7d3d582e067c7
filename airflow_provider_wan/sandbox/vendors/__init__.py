"""The wire shapes of the four vendors, one file each."""
