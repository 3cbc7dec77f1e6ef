#!/usr/bin/env python3
"""The tutorial, typed as it stands, but for the runs that take a minute (those: tests/prove/test_tutorial.py).

beside: others
"""
import os, sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(root, "tests/support"))
import doc_blocks

build = os.path.realpath(os.environ.get("BUILD", os.path.join(root, "build")))
sys.exit(doc_blocks.run_page(root, build, "docs/tutorial/first-ten-minutes.md", slow=False, limit_s=60) > 0)
