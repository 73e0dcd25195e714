"""Gift card pools as people look at them."""
