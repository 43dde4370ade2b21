"""The conformance kit: anyone's agent or daemon as a black box (adapters/CONTRACT.md fixes what it offers).

The kit plays everybody else: other agents, operators, accidents. So its modules change files, as no other module but
``disk`` does; no other module imports them, ``cli.conformance`` aside.
"""
