"""Code that Bindery's functions share."""

import gc

# All that imports make is there to stay: looking for garbage among it every 2000 objects is 3 % of a cold start.
gc.set_threshold(200_000)
