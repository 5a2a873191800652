"""What the numbers of a run say about it: findings with evidence and remedy."""
