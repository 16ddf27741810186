"""Varying training pictures: policies, whole batches at a time, mixing, a preview, and whether labels survive it."""
