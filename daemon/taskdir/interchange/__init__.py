"""Other programs' formats: their task lists in, our log out (docs/interchange.md). Reads files, changes nothing."""
