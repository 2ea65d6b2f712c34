"""Data at a URL: an object store holds the truth, each machine keeps copies of what it reads in a folder of its own.

`address` checks the URL and says whose copies a folder holds, `store` talks to the object store, and `copies` brings files
from it. Files go there by themselves: `lib.files` writes nothing into such a folder that is not in the store by then.
"""
