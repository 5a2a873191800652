"""The documentation as a site: the same pages, with the reference that Millrace makes of itself. `make site`."""
