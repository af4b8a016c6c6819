"""Lightning callbacks, one file each: what is measured, recorded and shown while training."""
