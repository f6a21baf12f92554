"""The web page: pictures in, clear pictures, boxes or masks out.

``choices`` says which models are offered, ``engine`` runs them, ``page`` draws the page with Gradio, ``server`` serves
it.  Gradio is imported by the last two alone.
"""
