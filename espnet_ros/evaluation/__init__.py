"""How good labels are: sources of labelled images, metrics, and the run that joins them."""
