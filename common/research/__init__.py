"""Evidence: tapes to tables, replay, backtest and reports; never part of a running bot."""
