#!/usr/bin/env python3
"""The tutorial, every box of it, and how long a reader waits: it is called ten minutes.

time-limit: 600
"""
import os, sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(root, "tests/support"))
import doc_blocks

build = os.path.realpath(os.environ.get("BUILD", os.path.join(root, "build")))
sys.exit(doc_blocks.run_page(root, build, "docs/tutorial/first-ten-minutes.md", slow=True, limit_s=240) > 0)
