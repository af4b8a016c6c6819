"""Generated tasks, one file each."""
