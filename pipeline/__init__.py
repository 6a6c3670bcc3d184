"""How the book is run: chapters by papermill with guards, and the built book from their executed copies."""
