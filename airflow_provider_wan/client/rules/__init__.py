"""What Wan models accept: the limits of each family, of a request, of its media and of its prompt.

In: a request; out: violations. Never asks a vendor.
"""
