"""A page to touch: `millrace look` serves a network to a browser on this machine."""
