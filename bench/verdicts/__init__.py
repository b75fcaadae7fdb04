"""Does a number reproduce, does a claim hold: rules, and the tests behind them."""
