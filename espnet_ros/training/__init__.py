"""The trainer: one config file in, weights that the node loads out."""
