"""The commands, each group in a file of its own: parse, call the library, print."""
