"""Campaigns of faults: real kills, flipped bits and full disks, as many as one asks for, and a table of what held.

    python -m tests.faults.campaigns kill-training --count 200
    python -m tests.faults.campaigns all --count 20

Every row of the table says what was done, how often, and how often the promise held; the exit status is 0 only if it
always did. The tests run a small count of each (test_campaigns.py).
"""
