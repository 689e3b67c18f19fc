"""What each primitive computes of one element, family by family, from docs/law alone."""
