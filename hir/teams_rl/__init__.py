"""TeaMs-RL: a policy over text operations builds the instructions that one fine-tuning uses."""
