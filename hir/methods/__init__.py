"""Learning methods, one file each: how rollouts become training rows, and the loss on them."""
