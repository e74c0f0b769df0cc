"""The program `op-conductor-init`: its commands only parse, call and print."""
