"""What files really are, and what can be shown of them."""
