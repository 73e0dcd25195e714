"""Promo codes: their formats, their generation, the top-up of pools."""
