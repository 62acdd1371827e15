"""asseco: owned and issued devices of a bank's customers."""
