"""What can be wrong with an installation, found with the standard library alone: it runs where nothing else imports."""
