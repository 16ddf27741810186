"""Predictions of any number of pictures: found as they come, kept piece by piece, resumed, shared out, on a cluster."""
