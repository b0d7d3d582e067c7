"""Files and stored objects as media: checked, known by their content, and made reachable for the vendor.

In comes a request whose media may be paths and storage URIs; out goes the same request with addresses that the vendor
can fetch. What is recorded are digests and sealed addresses of uploads: no content, no path, no signature.
"""
