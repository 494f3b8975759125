"""What holds a fill back: signals, each with a limit from the plan or from ``osc set``, and who waits for them."""
