"""Imported first by the server that test processes are forked from: what is imported after this is
no garbage there, and in none of them.
"""

from trainer import imports

imports.begin()
