"""Training: models, losses, metrics, optimizers, the loop, and keeping what was learned."""
