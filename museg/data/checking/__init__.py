"""`museg data check`: what is wrong with a sample file, and a copy without it."""
