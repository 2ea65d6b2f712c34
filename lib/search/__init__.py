"""Which configurations of a network are trained: a grid of settings, or a random or adaptive search of a space."""
