"""The command line: it parses, prints and exits. What is done is in osc.verbs; nothing here knows SQL."""
