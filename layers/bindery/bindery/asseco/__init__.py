"""asseco: devices of a bank's customers."""
