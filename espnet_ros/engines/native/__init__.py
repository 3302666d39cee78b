"""The network as machine code of its own, written for this CPU: fused, with no copy and no padding between layers."""
