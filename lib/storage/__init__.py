"""Data at a URL: an object store holds the truth, each machine keeps copies of what it reads in a folder of its own."""
