"""From conf/ and a command line to one typed Config."""
