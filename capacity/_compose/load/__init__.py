"""From files to one merged model, in Compose's order: interpolate, extend, include, merge,
normalize.
"""
