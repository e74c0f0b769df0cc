"""The command line: parse, call, print. A command imports what is heavy when it runs."""
