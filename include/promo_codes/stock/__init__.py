"""Promo code pools as people look at them: settings, stock, its course, history, alerts. Source: PC-06, TU-01, TU-05.

Counts and times only: no code and no customer leaves these functions (X-20). What a function counts is bounded, so
that a page with a pool of millions is as quick as any other: a `Figure` says when the real number is higher. Everything
comes from the two indexes of promo codes, of those in stock and those taken, and from the ledger.
"""
