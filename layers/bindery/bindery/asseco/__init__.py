"""asseco: bank customers' own and issued devices."""
