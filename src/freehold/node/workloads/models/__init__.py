"""A model as a server: one Python function or an ONNX file behind the Open Inference Protocol v2.

The owner's code runs in processes of its own, so that one that hangs, crashes or eats the memory
ends its own process and one request, never the server. It is a fence against mistakes, not against
malice: the code runs as the user who started the server.
"""
