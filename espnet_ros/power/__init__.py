"""Power modes by name, what the device draws, and a governor that holds a rate or a budget by itself."""
