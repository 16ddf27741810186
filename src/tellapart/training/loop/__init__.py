"""The training loop: examples in, epochs out. Import its modules by name: nearly all of them import torch."""
