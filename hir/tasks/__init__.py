"""Tasks, one file each: BIG-bench files, generated tasks, and the judge of their answers."""
