"""The networks, and the checkpoints that fill them."""
