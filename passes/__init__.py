"""One pass a file: IR in, IR out."""
