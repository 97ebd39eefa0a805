"""What tests run inside of a shim, made from text when it is needed.

    text        WebAssembly text to bytes, and how to write a string into it
    modules     WASI preview 1: print and exit, print and stay
    components  WASI preview 2: a command, an HTTP server
    images      an OCI archive around one of them

Everything is a few hundred bytes and starts in milliseconds; nothing is kept in git as a binary.
"""
