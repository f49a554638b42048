"""Asking models: a request goes to the best of a subnet's nodes, and to others where one fails."""
