"""Labels on the ground: camera geometry, per-class grids and what Nav2 takes."""
